"""What to build, from options and from files."""

from pathlib import Path

import pytest

from litematting_deploy.engines.tensorrt.profile import BuildProfile, read_profile
from litematting_deploy.engines.tensorrt.version import BACKENDS
from litematting_deploy.errors import UsageError
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("least", "best", "most", "wanted"),
    [
        (None, None, None, (1, 1, 8)),
        (None, None, 2, (1, 1, 2)),
        (None, None, 16, (1, 1, 16)),
        (None, 12, None, (1, 12, 12)),
        (6, None, None, (6, 6, 8)),
        (20, None, None, (20, 20, 20)),
        (2, 3, 5, (2, 3, 5)),
    ],
)
def test_batches_of_a_dynamic_onnx(
    least: int | None, best: int | None, most: int | None, wanted: tuple[int, int, int]
) -> None:
    assert BuildProfile(min_batch=least, opt_batch=best, max_batch=most).batches(None) == wanted


@pytest.mark.parametrize("profile", [BuildProfile(), BuildProfile(max_batch=8), BuildProfile(min_batch=2)], ids=str)
def test_a_fixed_onnx_keeps_its_batch(profile: BuildProfile) -> None:
    assert profile.batches(3) == (3, 3, 3)


def test_architectures_are_written_one_way() -> None:
    profile = BuildProfile(architectures=("89", "8.9", "sm_120", "SM75", " 12.0"))
    assert profile.architectures == ("8.9", "12.0", "7.5")


def test_given_options_win() -> None:
    profile = BuildProfile(architectures=("8.6",), max_batch=4, tf32=True)
    same = profile.with_options(architectures=(), max_batch=None, tf32=None, refit=None)
    assert same == profile
    other = profile.with_options(architectures=("8.9",), max_batch=2, tf32=False, optimization_level=0)
    assert other == BuildProfile(architectures=("8.9",), max_batch=2, tf32=False, optimization_level=0)


def test_profile_file(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        'backend = "tensorrt"\nmax_batch = 3\ntf32 = true\nworkspace_mib = 512\noptimization_level = 5\n'
        'hardware_compatibility = "ampere+"\nrefit = true\ntiming_cache = "a/b.cache"\nlayers = "l.json"\n'
    )
    assert read_profile(tmp_path / "p.toml") == BuildProfile(
        backend="tensorrt",
        max_batch=3,
        tf32=True,
        workspace_mib=512,
        optimization_level=5,
        hardware_compatibility="ampere+",
        refit=True,
        timing_cache=tmp_path / "a" / "b.cache",
        layers=tmp_path / "l.json",
    )


def test_every_shipped_profile_can_be_read_and_is_in_the_table() -> None:
    profiles = sorted((ROOT / "engines").glob("*.toml"))
    page = (ROOT / "engines" / "README.md").read_text()
    assert len(profiles) >= 8
    for path in profiles:
        profile = read_profile(path)
        assert profile.backend in BACKENDS
        assert (profile.backend == "tensorrt-rtx") == bool(profile.architectures)
        assert f"`{path.name}`" in page


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("max_batchs = 4", "unknown key 'max_batchs'; a profile has backend, min_batch"),
        ('max_batch = "4"', "max_batch must be an integer; got '4'"),
        ("max_batch = true", "max_batch must be an integer; got True"),
        ("tf32 = 1", "tf32 must be true or false; got 1"),
        ("architectures = [8.9]", "architectures[0] must be a text; got 8.9"),
        ('architectures = "8.9"', "architectures must be a list; got '8.9'"),
        ("timing_cache = 3", "timing_cache must be a file name; got 3"),
        ('timing_cache = ""', "timing_cache must be a file name; got ''"),
        ('layers = "a\\u0000b"', "layers must be text without NUL characters"),
        ('timing_cache = "../t"', "in the folder of bad.toml or below"),
        ('layers = "away/l.json"', "in the folder of bad.toml or below"),
        ('layers = "/l.json"', "in the folder of bad.toml or below"),
        ("max_batch = 0x" + "f" * 900, "more than 64 bits"),
        ("max_batch = 3000000000", "max_batch must be between 1 and 1024; got 3000000000"),
        ('architectures = ["ada"]', "architectures must be compute capabilities such as 8.9 or 89; got 'ada'"),
        ("max_batch = 0", "max_batch must be between 1 and 1024; got 0"),
        ("workspace_mib = 0", "workspace_mib must be between 1 and 1048576; got 0"),
        ("optimization_level = 6", "optimization_level must be between 0 and 5; got 6"),
        ("optimization_level = -1", "optimization_level must be between 0 and 5; got -1"),
        ("opt_batch = 9\nmax_batch = 8", "min_batch, opt_batch and max_batch must not decrease; got 1, 9, 8"),
        ("min_batch = 5\nopt_batch = 2", "got 5, 2, 8"),
        ('backend = "trt"', "backend must be one of tensorrt, tensorrt-rtx; got 'trt'"),
        (
            'hardware_compatibility = "all"',
            "hardware_compatibility must be one of none, ampere+, same-capability; got 'all'",
        ),
        ('backend = "tensorrt"\narchitectures = ["8.9"]', "architectures=8.9 cannot be combined with backend=tensorrt"),
        (
            'backend = "tensorrt-rtx"\ntiming_cache = "t"',
            "tensorrt-rtx, which times nothing while it builds; leave it out",
        ),
        (
            'backend = "tensorrt-rtx"\nhardware_compatibility = "ampere+"',
            "tensorrt-rtx, which builds for every one of architectures instead; leave it out",
        ),
        ("max_batch =", "cannot be read as a profile"),
    ],
    ids=lambda value: value[:30],
)
def test_a_profile_that_cannot_be_built_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content)
    (tmp_path / "away").symlink_to(tmp_path.parent)
    with pytest.raises(UsageError) as failure:
        read_profile(path)
    message = str(failure.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message

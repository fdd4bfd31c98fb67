"""What to build, from options and from files."""

from pathlib import Path

import pytest

from litematting_deploy.engines.tensorrt.profile import BuildProfile, read_profile
from litematting_deploy.engines.tensorrt.version import BACKENDS
from litematting_deploy.errors import UsageError
from tests.conftest import ROOT


def test_batches_of_a_dynamic_onnx() -> None:
    cases = {
        (None, None, None): (1, 4, 8),
        (None, None, 2): (1, 2, 2),
        (None, None, 16): (1, 4, 16),
        (None, 12, None): (1, 12, 12),
        (6, None, None): (6, 6, 8),
        (20, None, None): (20, 20, 20),
        (2, 3, 5): (2, 3, 5),
    }
    for (least, best, most), wanted in cases.items():
        assert BuildProfile(min_batch=least, opt_batch=best, max_batch=most).batches(None) == wanted


def test_batches_of_a_fixed_onnx() -> None:
    assert BuildProfile().batches(3) == (3, 3, 3)
    assert BuildProfile(min_batch=3, max_batch=3).batches(3) == (3, 3, 3)
    for wrong in (BuildProfile(max_batch=4), BuildProfile(min_batch=2)):
        with pytest.raises(UsageError, match="the ONNX takes exactly 3 patches at a time"):
            wrong.batches(3)


def test_architectures_are_written_one_way() -> None:
    profile = BuildProfile(architectures=("89", "8.9", "sm_120", "SM75", " 12.0"))
    assert profile.architectures == ("8.9", "12.0", "7.5")


def test_given_options_win() -> None:
    profile = BuildProfile(architectures=("8.6",), max_batch=4, tf32=True)
    same = profile.with_options({"architectures": (), "max_batch": None, "tf32": None, "refit": None})
    assert same == profile
    other = profile.with_options({"architectures": ("8.9",), "max_batch": 2, "tf32": False, "optimization_level": 0})
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
        ('max_batch = "4"', "max_batch = '4' has the wrong type"),
        ("max_batch = true", "max_batch = True has the wrong type"),
        ("tf32 = 1", "tf32 = 1 has the wrong type"),
        ("architectures = [8.9]", "has the wrong type"),
        ('architectures = "8.9"', "has the wrong type"),
        ("timing_cache = 3", "has the wrong type"),
        ('timing_cache = ""', "timing_cache = '' has the wrong type or is empty"),
        ('layers = "a\\u0000b"', "in the folder of bad.toml or below"),
        ('timing_cache = "../t"', "in the folder of bad.toml or below"),
        ('layers = "away/l.json"', "in the folder of bad.toml or below"),
        ('layers = "/l.json"', "in the folder of bad.toml or below"),
        ("max_batch = 0x" + "f" * 900, "more than 64 bits"),
        ("max_batch = 3000000000", "max_batch 3000000000: wanted 1 to 1024"),
        ('architectures = ["ada"]', "compute capability 'ada': wanted a number as 8.9 or 89"),
        ("max_batch = 0", "max_batch 0: wanted 1 to 1024"),
        ("workspace_mib = 0", "workspace_mib 0: wanted 1 to 1048576"),
        ("optimization_level = 6", "optimization_level 6: wanted 0 to 5"),
        ("optimization_level = -1", "optimization_level -1: wanted 0 to 5"),
        ("opt_batch = 9\nmax_batch = 8", "batches 1, 9, 8: wanted min_batch <= opt_batch <= max_batch"),
        ("min_batch = 5\nopt_batch = 2", "batches 5, 2, 8"),
        ('backend = "trt"', "backend 'trt': wanted one of tensorrt, tensorrt-rtx"),
        ('hardware_compatibility = "all"', "hardware_compatibility 'all': wanted one of none, ampere+"),
        ('backend = "tensorrt"\narchitectures = ["8.9"]', "--sm 8.9: tensorrt builds for the GPU of this machine"),
        ('backend = "tensorrt-rtx"\ntiming_cache = "t"', "tensorrt-rtx times nothing while it builds"),
        ('backend = "tensorrt-rtx"\nhardware_compatibility = "ampere+"', "tensorrt-rtx takes --sm for every"),
        ("max_batch =", "not a profile that can be read"),
    ],
)
def test_mistakes(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content)
    (tmp_path / "away").symlink_to(tmp_path.parent)
    with pytest.raises(UsageError) as failure:
        read_profile(path)
    message = str(failure.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message

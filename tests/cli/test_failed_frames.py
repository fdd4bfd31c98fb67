"""A frame whose alpha is not finite fails alone, and is named."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.errors import ForegroundError
from litematting_deploy.images.photo import Photo
from litematting_deploy.jobs.clip_trimaps import ClipTrimaps
from litematting_deploy.specs import TrimapSpec
from litematting_deploy.video.reader import Clip
from tests.conftest import called
from tests.video.clips import save_clip

SIDE, COUNT, BLACK = 32, 4, 2
TRIMAP = np.full((SIDE, SIDE), 128, np.uint8)
TRIMAP[:8], TRIMAP[-8:] = 0, 255


def frames() -> list[np.ndarray]:
    return [np.full((SIDE, SIDE, 3), 0 if index == BLACK else 200, np.uint8) for index in range(COUNT)]


def test_a_folder_goes_on_and_names_the_frame(root_onnx: Path, tmp_path: Path) -> None:
    for name in ("photos", "trimaps"):
        (tmp_path / name).mkdir()
    for index, pixels in enumerate(frames()):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
        Image.fromarray(TRIMAP).save(tmp_path / "trimaps" / f"{index}.png")
    result = called(
        "ltm-infer", tmp_path / "photos", tmp_path / "trimaps", "-o", tmp_path / "out", "--engine", root_onnx
    )
    assert result.code == 1
    assert f"failed: {BLACK}: onnxruntime-cpu: the alpha of this image contains NaN or infinity" in result.err
    assert "weights" not in result.err
    assert "3 of 4 frames" in result.out
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "1.png", "3.png"]


def test_a_photo_is_named(root_onnx: Path, tmp_path: Path) -> None:
    Image.fromarray(frames()[BLACK]).save(tmp_path / "black.png")
    Image.fromarray(TRIMAP).save(tmp_path / "trimap.png")
    result = called(
        "ltm-infer", tmp_path / "black.png", tmp_path / "trimap.png", "-o", tmp_path / "a.png", "--engine", root_onnx
    )
    assert result.code == 1
    assert "black.png: onnxruntime-cpu: the alpha of this image contains NaN or infinity" in result.err
    assert not (tmp_path / "a.png").exists()


def test_a_clip_stops_and_is_resumed_past_it(root_onnx: Path, tmp_path: Path) -> None:
    grey = np.full((SIDE // 2, SIDE // 2), 128, np.uint8)
    brightness = [16 if index == BLACK else 200 for index in range(COUNT)]
    clip = save_clip(tmp_path / "clip.mov", [[np.full((SIDE, SIDE), y, np.uint8), grey, grey] for y in brightness])
    Image.fromarray(TRIMAP).save(tmp_path / "trimap.png")
    (tmp_path / "trimaps").mkdir()
    for index in range(COUNT):
        Image.fromarray(TRIMAP).save(tmp_path / "trimaps" / f"{index}.png")
    command = ("ltm-infer", clip, tmp_path / "trimaps", "-o", tmp_path / "matte.mkv", "--engine", root_onnx)
    stopped = called(*command)
    assert stopped.code == 1
    assert f"frame {BLACK} " in stopped.err
    assert f"{BLACK} of {COUNT} frames kept" in stopped.err
    assert "--resume and --failed-frames known" in stopped.err
    assert not (tmp_path / "matte.mkv").exists()
    again = called(*command, "--resume")
    assert (again.code, f"frame {BLACK} " in again.err) == (1, True)
    past = called(*command, "--resume", "--failed-frames", "known")
    assert past.code == 1
    assert f"frame {BLACK} " in past.err
    assert "1 failed and hold only known pixels" in past.out
    import av

    with av.open(str(tmp_path / "matte.mkv")) as file:
        alphas = [frame.to_ndarray(format="gray16le") for frame in file.decode(video=0)]
    assert len(alphas) == COUNT
    np.testing.assert_array_equal(alphas[BLACK], np.where(TRIMAP == 255, 65535, 0))
    assert all((alphas[index][16] > 30000).all() for index in range(COUNT) if index != BLACK)


def folder_of(path: Path, pictures: list[np.ndarray]) -> Path:
    path.mkdir()
    for index, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def bright_clip(path: Path, count: int) -> Path:
    grey = np.full((SIDE // 2, SIDE // 2), 128, np.uint8)
    return save_clip(path, [[np.full((SIDE, SIDE), 200, np.uint8), grey, grey]] * count)


def alphas_of(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="gray16le") for frame in file.decode(video=0)]


def test_a_clip_goes_past_wrong_trimaps(root_onnx: Path, tmp_path: Path) -> None:
    """One of another size, one cut off, one with values that mean nothing; a hard mask is its own alpha."""
    hard = np.where(TRIMAP == 128, np.uint8(255), TRIMAP)
    strange = np.where(TRIMAP == 128, np.uint8(77), TRIMAP)
    trimaps = folder_of(tmp_path / "t", [TRIMAP, TRIMAP[:, :20], TRIMAP, hard, strange, TRIMAP])
    cut = trimaps / "2.png"
    cut.write_bytes(cut.read_bytes()[:60])
    wrong = [(1, "is 20x32"), (2, "2.png"), (4, "this one also contains 77")]
    clip = bright_clip(tmp_path / "clip.mov", 6)
    command = ("ltm-infer", clip, trimaps, "-o", tmp_path / "m.mkv", "--engine", root_onnx)
    stopped = called(*command)
    assert stopped.code == 1
    for words in ("frame 1 ", "is 20x32", "1 of 6 frames kept", "--resume and --failed-frames known"):
        assert words in stopped.err
    past = called(*command, "--resume", "--failed-frames", "known")
    assert past.code == 1
    told = [line for line in past.err.splitlines() if line.startswith("ltm-infer: failed: ")]
    assert len(told) == len(wrong)
    for line, (index, words) in zip(told, wrong, strict=True):
        assert f": failed: frame {index} " in line
        assert words in line
    assert "3 failed and hold only known pixels" in past.out
    assert "without sure" not in past.out, "of a trimap that is wrong nothing is known"
    alphas = alphas_of(tmp_path / "m.mkv")
    assert [index for index, alpha in enumerate(alphas) if not alpha.any()] == [1, 2, 4]
    np.testing.assert_array_equal(alphas[3], hard.astype(int) * 257)
    np.testing.assert_array_equal(alphas[0], alphas[5])
    assert (alphas[0][16] > 30000).all()


def test_a_mended_trimap_is_another_source(tmp_path: Path) -> None:
    """So that --resume does not leave the hole that it made."""
    trimaps = folder_of(tmp_path / "t", [TRIMAP, TRIMAP[:, :20]])
    clip = Clip(str(bright_clip(tmp_path / "clip.mov", 2)))

    def digests() -> list[str]:
        return [pair.digest() for pair in ClipTrimaps(str(trimaps), TrimapSpec(), 1).pairs(clip)]

    before = digests()
    assert digests() == before
    Image.fromarray(TRIMAP).save(trimaps / "1.png")
    after = digests()
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_masks_of_a_clip_that_are_wrong(root_onnx: Path, tmp_path: Path) -> None:
    mask = np.where(TRIMAP == 0, np.uint8(0), np.uint8(255))
    ids = np.zeros_like(mask)
    ids[4:14], ids[14:26], ids[26:] = 3, 7, 255
    masks = folder_of(tmp_path / "masks", [mask, ids, mask])
    clip = bright_clip(tmp_path / "clip.mov", 3)
    options = ("--mask", masks, "-o", tmp_path / "m.mkv", "--engine", root_onnx, "--unknown", "2")
    past = called("ltm-infer", clip, *options, "--failed-frames", "known")
    assert past.code == 1
    (told,) = (line for line in past.err.splitlines() if line.startswith("ltm-infer: failed: "))
    for words in ("frame 1 ", "1.png: contains 0 (", "--mask-label"):
        assert words in told
    assert [bool(alpha.any()) for alpha in alphas_of(tmp_path / "m.mkv")] == [True, False, True]


def test_what_known_pixels_do_not_mend_is_not_said_to_be(
    root_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours that cannot be estimated end a clip of colours, and its matte alone needs none."""
    trimaps = folder_of(tmp_path / "t", [TRIMAP] * 2)
    clip = bright_clip(tmp_path / "clip.mov", 2)
    command = ("ltm-infer", clip, trimaps, "--engine", root_onnx, "--failed-frames", "known", "-o")

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("litematting_deploy.runtime.matter.unmix", fail)
    failed = called(*command, tmp_path / "m.mov")
    assert failed.code == 1
    last = failed.err.splitlines()[-1]
    assert "frame 0 (0.000 s): its foreground colours cannot be estimated" in last
    assert "0 of 2 frames kept; fix this and continue with --resume" in last
    assert "--failed-frames" not in last
    assert called(*command, tmp_path / "m.mkv").code == 0


@pytest.mark.parametrize("failing", [0, 3])
def test_a_matte_is_finished_where_colours_fail_at_a_frame_and_resume_makes_the_colours(
    failing: int, root_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimaps = folder_of(tmp_path / "t", [TRIMAP] * 5)
    command = ("ltm-infer", bright_clip(tmp_path / "clip.mov", 5), trimaps, "--engine", root_onnx, "--segment", 2)
    assert called(*map(str, command), "-o", tmp_path / "alone.mkv").code == 0
    wanted = alphas_of(tmp_path / "alone.mkv")
    assert len(wanted) == 5
    made = [*map(str, command), "-o", str(tmp_path / "m.mkv"), "--cutout", str(tmp_path / "c.mov")]
    count = 0

    def colours(photo: Photo, alpha: NDArray[np.float32], _: object) -> NDArray[np.float32]:
        nonlocal count
        count += 1
        if count == failing + 1:
            raise ForegroundError(f"{photo.path}: its foreground colours cannot be estimated: out of scratch")
        return np.zeros((*alpha.shape, 3), np.float32)

    monkeypatch.setattr("litematting_deploy.jobs.clip_results.estimate_foreground", colours)
    failed = called(*made)
    assert failed.code == 1
    last = failed.err.splitlines()[-1]
    for words in (f"frame {failing} ", "m.mkv was written", "c.mov was not", "continue with --resume"):
        assert words in last
    np.testing.assert_array_equal(alphas_of(tmp_path / "m.mkv"), wanted)
    assert not (tmp_path / "c.mov").exists()
    assert [path.name for path in tmp_path.glob(".*parts")] == [".m.mkv.parts"]
    resumed = called(*made, "--resume")
    assert resumed.code == 0, resumed.err
    assert f"{failing} already done" in resumed.out
    np.testing.assert_array_equal(alphas_of(tmp_path / "m.mkv"), wanted)
    assert len(alphas_of(tmp_path / "c.mov")) == 5


def test_a_photo_has_no_frames_that_may_fail(tmp_path: Path) -> None:
    result = called("ltm-infer", tmp_path / "a.png", tmp_path / "b.png", "-o", "c.png", "--failed-frames", "stop")
    assert result.code == 2
    assert "--failed-frames does not apply to a photo (it applies to a clip)" in result.err

"""Grey clips without a tag of their range, as OpenCV and PyAV write them: FFmpeg takes their codes for levels."""

from pathlib import Path

import av
import numpy as np

from litematting_deploy.video.reader import Clip
from tests.video.clips import save_clip


def test_grey_without_a_tag_takes_the_whole_range(tmp_path: Path) -> None:
    """A class id of 7 stays 7 where limited range would make it black; a tag still counts."""
    levels = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    levels[:8] = 7
    untagged = save_clip(tmp_path / "mask.mkv", [[levels]], "ffv1", "gray", tags=(2, 0))
    with av.open(str(untagged)) as container:
        stored = next(container.decode(video=0))
        assert stored.color_range == 0
        by_ffmpeg = stored.reformat(format="rgb24").to_ndarray()[:, :, 0]
    np.testing.assert_array_equal(by_ffmpeg, levels)
    np.testing.assert_array_equal(Clip(str(untagged)).first.grey(), levels)
    limited = save_clip(tmp_path / "limited.mkv", [[levels]], "ffv1", "gray", tags=(1, 1))
    wanted = np.rint(((levels.astype(float) - 16) / 219).clip(0, 1) * 255)
    np.testing.assert_array_equal(Clip(str(limited)).first.grey(), wanted)

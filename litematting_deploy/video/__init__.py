"""Clips: reading frames, writing mattes and cut-outs by segments, joining these with the clip's sound and timecode."""

import os
from pathlib import Path

SUFFIXES = (".mov", ".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mxf", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv")
"""What is read as a clip. This module does not import PyAV, the others here do."""


def is_video(path: str | Path) -> bool:
    """Return whether a path is a clip, by its ending: an existing folder of such a name is none."""
    return Path(path).suffix.lower() in SUFFIXES and not os.path.isdir(path)

"""Put first on PYTHONPATH, makes every file take LTM_FSYNC_S seconds longer to be written, as a slow drive does."""

import os
import time
from typing import Any

_fsync = os.fsync


def _slow(file: Any) -> None:
    time.sleep(float(os.environ["LTM_FSYNC_S"]))
    _fsync(file)


os.fsync = _slow  # type: ignore[assignment]  # its parameter has no name

"""Put first on PYTHONPATH, makes the packages named in LTM_BLOCK look as if they were not installed."""

import os
import sys

for name in filter(None, os.environ.get("LTM_BLOCK", "").split(",")):
    sys.modules[name] = None  # type: ignore[assignment]  # what the import system itself uses for "halt"

"""One task in a process of its own: `python -m litematting_deploy.benchmarks TASK ARGUMENTS`, these as JSON.

The last line on the standard output is what came of it, as JSON.
"""

import json
import sys
import warnings
from typing import Any

from ..errors import DependencyError, DeviceError, LiteMattingError, UsageError
from . import tasks
from .row import FAILED, OK, SKIPPED


def outcome(task: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """status, and what the task returns or the reason why it does not."""
    try:
        return {"status": OK, **tasks.TASKS[task](**arguments)}
    except (DependencyError, DeviceError, UsageError) as error:
        return {"status": SKIPPED, "reason": str(error)}
    except LiteMattingError as error:
        return {"status": FAILED, "reason": str(error)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"\n{json.dumps(outcome(sys.argv[1], json.loads(sys.argv[2])))}", flush=True)

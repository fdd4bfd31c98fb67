"""One check in a process of its own: `python -m litematting_deploy.doctor MODULE:FUNCTION`.

The last line on the standard output is its outcome as JSON. What the check did not foresee ends the process, with its
reason on the standard error, for `patient` to tell.
"""

import importlib
import json
import sys
import warnings

from ..errors import LiteMattingError
from .found import Found, MissingError
from .patient import BROKEN, NOT_HERE, RUNS


def outcome(function: str) -> dict[str, str]:
    """state, version and detail of a check."""
    module, _, name = function.partition(":")
    try:
        found: Found = getattr(importlib.import_module(f".{module}", __package__), name)()
    except MissingError as error:
        return {"state": NOT_HERE, "version": "", "detail": str(error)}
    except LiteMattingError as error:
        return {"state": BROKEN, "version": "", "detail": str(error)}
    except ImportError as error:
        again = "a library is missing or does not load; pip install --force-reinstall litematting-deploy"
        return {"state": BROKEN, "version": "", "detail": f"{error}: {again}"}
    return {"state": RUNS, "version": found.version, "detail": found.detail}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"\n{json.dumps(outcome(sys.argv[1]))}", flush=True)

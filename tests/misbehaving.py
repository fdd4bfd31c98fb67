"""Functions for a process of their own, most of which do it harm."""

import faulthandler
import os
import signal
import sys
import time
import warnings

from litematting_deploy.errors import UsageError


def crash() -> None:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    time.sleep(60)


def surprise() -> None:
    raise RuntimeError("libnothing.so.1: cannot open shared object file")


def silent() -> None:
    sys.exit(3)


def leaves_early() -> None:
    sys.exit(0)


def refuse() -> None:
    try:
        raise ValueError("the cause")
    except ValueError as error:
        raise UsageError("`step` must be 1 or more; got 0", parameter="step") from error


def greet(name: str, times: int) -> tuple[str, ...]:
    print("a library says hello")
    warnings.warn("and warns", stacklevel=1)
    return (f"hello {name}",) * times

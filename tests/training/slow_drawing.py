"""In the place of `draw_shard`: drawing that takes an hour. Apart from the tests: workers import this."""

import time

from litematting_deploy.errors import OutputError


def sleeps(*_: object) -> None:
    time.sleep(3600)


def fails_first(_: object, __: object, first: int) -> None:
    """The first file cannot be written."""
    if first == 0:
        raise OutputError("no space")
    time.sleep(3600)

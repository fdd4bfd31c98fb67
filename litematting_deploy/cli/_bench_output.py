"""The files that ltm-bench writes."""

from collections.abc import Callable

from ..benchmarks import report
from ..benchmarks.row import Results
from ..files import replace_file


def write_all(results: Results, variants: bool, files: dict[str, str | None]) -> None:
    """Write what was asked for. files: `json`, `csv`, `markdown` and `plot` to a path or None."""

    def png() -> bytes:
        from ..benchmarks.plot import png as draw

        return draw(results)

    makers: dict[str, Callable[[], bytes]] = {
        "json": results.json,
        "csv": lambda: report.to_csv(results.rows).encode(),
        "markdown": lambda: report.page(results, variants).encode(),
        "plot": png,
    }
    for kind, make in makers.items():
        path = files[kind]
        if path is not None:
            replace_file(path, make())

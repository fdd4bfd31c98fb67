"""Add one line to recipes/ledger.csv, which is in the order of time: what a run has computed since its last line there.

python recipes/ledger.py RUN --held-out held_out.json --note "first day"
python recipes/ledger.py RUN --held-out-sad 7.91 --held-out-grad 12.3

RUN/totals.json, which ltm-train writes, counts from the run's beginning; a line holds the difference. What a run begun
by --continue has from the other run (`continued`) belongs into that one's lines. A run is known by the name of its
folder, so names are given once. The held-out errors come from benchmarks/held_out.
"""

import argparse
import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

from litematting_deploy.errors import InputError
from litematting_deploy.files import replace_file
from litematting_deploy.schema import decode

LEDGER = Path(__file__).with_name("ledger.csv")
COUNTED = {"steps": 0, "crops": 0, "megapixels": 1, "cpu_seconds": 0}
"""What adds up over the lines of a run -> its decimals."""
COLUMNS = (*("utc", "run", "recipe_sha256", "instruction_set", *COUNTED), *("held_out_sad", "held_out_grad", "note"))


@dataclass(frozen=True)
class Totals:
    """What `totals.json` of a run holds; runs from before it was counted have no `continued`."""

    utc_begun: str
    utc: str
    steps: int
    crops: int
    megapixels: float
    cpu_seconds: float
    instruction_set: str
    recipe_sha256: str
    continued: dict[str, float] = field(default_factory=dict)


def lines_of(ledger: Path) -> list[dict[str, str]]:
    """Return the lines so far. Raises `SystemExit` where its header is another."""
    with ledger.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise SystemExit(f"{ledger}: its columns are {reader.fieldnames}, expected {', '.join(COLUMNS)}")
        return list(reader)


def totals_of(run: Path) -> Totals:
    """Return what the run has computed in all. Raises `SystemExit` where it does not say so."""
    remedy = "give the folder of a run of this version of ltm-train"
    try:
        return decode(run / "totals.json", Totals, name="the totals of a run", error=InputError, remedy=remedy)
    except InputError as error:
        raise SystemExit(str(error)) from error


def stretch(totals: Totals, before: list[dict[str, str]], run: str) -> dict[str, str]:
    """Return the line for what `totals` has beyond the lines `before`. Raises `SystemExit` if that is nothing."""
    line = {name: str(getattr(totals, name)) for name in ("utc", "recipe_sha256", "instruction_set")} | {"run": run}
    others = totals.continued
    for name, decimals in COUNTED.items():
        more = getattr(totals, name) - others.get(name, 0) - sum(float(row[name]) for row in before)
        if more < -(0.1**decimals) * (len(before) + 1):  # each line is rounded
            raise SystemExit(
                f"{run}: the ledger has more {name} of it than it has computed: another run had this name; "
                "rename the folder"
            )
        line[name] = f"{max(more, 0):.{decimals}f}"
    if int(line["steps"]) == 0:
        own = totals.steps - others.get("steps", 0)
        raise SystemExit(f"{run}: the ledger has all its {own:.0f} steps; train on first")
    return line


def held_out(options: argparse.Namespace) -> tuple[str, str]:
    """Return SAD and gradient error, empty where they were not measured."""
    sad, grad = options.held_out_sad, options.held_out_grad
    if options.held_out:
        try:
            found = json.loads(options.held_out.read_bytes())
            sad, grad = float(found["sad"]), float(found["grad"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(
                f"{options.held_out}: cannot be read ({error!r}); give what judge.py --json wrote"
            ) from error
    said = ["" if value is None else f"{value:.3f}" for value in (sad, grad)]
    return said[0], said[1]


def written(lines: list[dict[str, str]]) -> bytes:
    """Return the whole ledger as a file."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--held-out", type=Path, help="what benchmarks/held_out/judge.py --json wrote, with sad and grad"
    )
    parser.add_argument("--held-out-sad", type=float)
    parser.add_argument("--held-out-grad", type=float)
    parser.add_argument("--note", default="")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    options = parser.parse_args()
    run = options.run.resolve().name
    lines = lines_of(options.ledger)
    line = stretch(totals_of(options.run), [row for row in lines if row["run"] == run], run)
    line["held_out_sad"], line["held_out_grad"] = held_out(options)
    line["note"] = options.note
    replace_file(options.ledger, written(sorted([*lines, line], key=lambda row: row["utc"])))
    print(", ".join(f"{name} {line[name]}" for name in COLUMNS if line[name]))


if __name__ == "__main__":
    main()

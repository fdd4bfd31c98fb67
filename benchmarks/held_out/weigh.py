"""Turn the errors of judged weights into how often a recipe draws each family.

python benchmarks/held_out/weigh.py held_out.json

held_out.json is what `judge.py --json` wrote. A family's weight is its share of the sum of all families' mean SAD, at
least FLOOR and at most CAP: what is matted well already must not be forgotten, and what is hard must not crowd out the
rest. Prints the lines for a recipe; of cut-outs, whose share is apart, nothing.
"""

import argparse
import json
from pathlib import Path

from litematting_deploy.training.families import FAMILIES, GROOMED

FLOOR, CAP = 0.02, 0.09


def weights_of(errors: dict[str, float]) -> dict[str, float]:
    """Return the weight of each family, to three decimals, from its mean SAD.

    Raises `SystemExit` unless the errors are those of all families, and above 0.
    """
    wanted = {*FAMILIES, GROOMED}
    if errors.keys() != wanted:
        raise SystemExit(f"families: {', '.join(sorted(wanted ^ errors.keys()))} differ from ltm-train's; judge again")
    if not all(0 < error < float("inf") for error in errors.values()):
        raise SystemExit(f"families: the errors are {errors}, expected numbers above 0; judge again")
    total = sum(errors.values())
    return {name: round(min(max(error / total, FLOOR), CAP), 3) for name, error in errors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    figures = parser.parse_args().figures
    try:
        families = json.loads(figures.read_bytes())["families"]
        errors = {name: float(found["sad"]) for name, found in families.items() if name != "cutouts"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{figures}: cannot be read ({error!r}); give what judge.py --json wrote") from error
    print("[procedural.weights]")
    for name, weight in sorted(weights_of(errors).items(), key=lambda item: -item[1]):
        print(f"{name} = {weight:g}")


if __name__ == "__main__":
    main()

"""ltm-doctor: what runs on this machine, what does not, and why."""

from collections import Counter
from dataclasses import asdict, replace

from rich.table import Table
from rich.text import Text

from .. import __version__
from ..benchmarks import environment
from ..doctor.registry import BROKEN, CHECKS, INSTALLED, RUNS, UNAVAILABLE, Outcome, examine
from ..files import check_writable, write_json
from .command import command, notice, say, show_waiting, stdout, table, waiting, with_flags
from .help import plain_option

_STYLES = {RUNS: "green", INSTALLED: "green", UNAVAILABLE: "dim", BROKEN: "bold red"}


@command("ltm-doctor")
@plain_option(
    "--full",
    is_flag=True,
    heading="Checks",
    help="Also run every engine and compiler that is installed; takes a minute or two.",
)
@plain_option("--json", "json_file", metavar="FILE", heading="Results", help="Also write everything as JSON.")
def main(full: bool, json_file: str | None) -> int:
    """Check which engines, devices and file formats work on this machine, and why others do not.

    \b
    Examples:
      ltm-doctor
      ltm-doctor --full --json doctor.json

    Each check runs in a process of its own. Without --full, engines other than the default one are only imported, not
    run. The last line is the verdict.

    The exit code is 1 if the default path (ltm-infer on the CPU with the shipped weights) does not work, or if
    anything that is installed is broken.
    """
    if json_file is not None:
        check_writable(json_file)
    described = environment.describe()
    left = Counter(check.name for check in CHECKS if full or check.group != "gpu")
    with waiting("running all checks") as status:

        def done(name: str) -> None:
            left.subtract([name])
            show_waiting(status, f"checking {', '.join(+left)}")

        outcomes = [replace(each, detail=with_flags(each.detail, main)) for each in examine(done=done, full=full)]
    harmful = [outcome for outcome in outcomes if outcome.harmful]
    title = f"litematting-deploy {__version__}, Python {described['python']}, {described['system']}, {described['cpu']}"
    stdout.print(_table(outcomes, f"{title}, {described['cores']} cores"))
    if json_file is not None:
        checks = [asdict(outcome) for outcome in outcomes]
        write_json(json_file, {"healthy": not harmful, "full": full, "environment": described, "checks": checks})
    for outcome in harmful:
        notice(f"ltm-doctor: ltm-infer does not work here: {outcome.name}: {outcome.detail}")
    say(verdict(outcomes))
    return 1 if harmful or any(outcome.state == BROKEN for outcome in outcomes) else 0


def verdict(outcomes: list[Outcome]) -> str:
    """Return what the outcomes mean, in one line."""
    harmful = [outcome.name for outcome in outcomes if outcome.harmful]
    broken = [outcome.name for outcome in outcomes if outcome.state == BROKEN and not outcome.harmful]
    said = f"ltm-infer does not work here: {', '.join(harmful)}" if harmful else "ltm-infer works here, on the CPU"
    others = f"installed but broken: {', '.join(broken)}" if broken else "everything else that is installed works"
    return f"verdict: {said}; {others}"


def _table(outcomes: list[Outcome], title: str) -> Table:
    """Return one row for each check, with a rule between groups."""
    made = table(("what", "state", "version and result, or the reason"), (), title, words=3)
    for column in made.columns[:2]:
        column.no_wrap = True
    for outcome, following in zip(outcomes, [*outcomes[1:], None], strict=True):
        name = Text(outcome.name, style="bold" if outcome.needed else "")
        state = Text(outcome.state, style=_STYLES[outcome.state])
        ends = following is None or following.group != outcome.group
        said = f"{outcome.version}: {outcome.detail}" if outcome.version else outcome.detail
        made.add_row(name, state, Text(said), end_section=ends)
    return made

"""How much the commands print, and in which form: plain lines, with the time before each, or each as JSON."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import click

from .help import plain_option

Level: TypeAlias = Literal["info", "warning", "error", "result"]
FORMS = ("plain", "time", "json")


@dataclass
class Log:
    """What was asked for. quiet: warnings and errors alone are printed. command: the name of the command."""

    quiet: bool = False
    form: str = "plain"
    command: str = ""

    def line(self, message: str, level: Level, **fields: Any) -> str | None:
        """Return a message as it is printed; None where it is not.

        level: `result` is what a command says at its end.
        fields: what JSON has beside time, level, command and message.
        """
        if self.quiet and level in ("info", "result"):
            return None
        if self.form == "plain":
            return message
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self.form == "time":
            return f"{now} {level.upper()} {message}"
        said = {"time": now, "level": level, "command": self.command, "message": message, **fields}
        return json.dumps(said, ensure_ascii=False)

    @property
    def shows_bars(self) -> bool:
        """Whether progress may be drawn on a terminal."""
        return self.form == "plain" and not self.quiet


LOG = Log()
"""What the command that runs was asked for; each begins anew."""


def log_options(function: Any) -> Any:
    """Add the options of all commands to a command."""

    def keep(_: click.Context, parameter: click.Parameter, value: Any) -> None:
        setattr(LOG, "quiet" if parameter.name == "quiet" else "form", value)

    # Eager, so that mistakes in other options are printed in this form, too.
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True, "callback": keep}
    quiet = plain_option("--quiet", is_flag=True, help="Print only warnings and errors.", **shared)
    form = plain_option(
        "--log",
        type=click.Choice(FORMS),
        default="plain",
        show_default=True,
        help="Format of printed lines, except tables. time: UTC time and level before each line. json: each line is a "
        "JSON object.",
        **shared,
    )
    return quiet(form(function))

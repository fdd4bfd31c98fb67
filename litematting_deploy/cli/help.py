"""How the commands print their help: required options in the usage line, the others under headings."""

import functools
from collections.abc import Iterable
from typing import Any

import click

GENERAL = "General"
"""The heading of options that every command has; it comes last."""
_FLAGS_WIDTH = 26  # columns of the flags; the text of an option with longer flags begins on the next line
_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class Option(click.Option):
    """An option that stands under a heading in the help of its command."""

    def __init__(self, *declared: Any, heading: str = GENERAL, **settings: Any) -> None:
        """heading: of its group. The rest is as `click.Option` takes it."""
        super().__init__(*declared, **settings)
        self.heading = heading

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands behind the text in brackets: without x>0, and with 30 for 30.0."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        if "default" in extra:
            extra["default"] = extra["default"].removesuffix(".0")
        return extra


plain_option = functools.partial(click.option, cls=Option)
"""An option for a value that is no field of a spec; takes what `Option` takes."""


def variable_prefix(command: str) -> str:
    """Return what the environment variables of a command begin with, such as LTM_INFER_."""
    return f"{command.replace('-', '_').upper()}_"


def epilog(command: str) -> str:
    """Return how the options of a command are set from the environment."""
    prefix = variable_prefix(command)
    return (
        f"Environment variables set options, too: {prefix}OPTION for this command, LTM_OPTION for all commands; for "
        f"example {prefix}QUIET=1 or LTM_QUIET=1."
    )


class _Formatter(click.HelpFormatter):
    """Writes help in which the texts of all options begin in one column, and no flag is broken at a hyphen."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], *_: int, **__: int) -> None:
        padded = [(flags.ljust(_FLAGS_WIDTH), text.replace("-", _HYPHEN)) for flags, text in rows]
        super().write_dl(padded, col_max=_FLAGS_WIDTH)

    def getvalue(self) -> str:
        return super().getvalue().replace(_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class HelpfulCommand(click.Command):
    """A command whose help fits 80 columns and groups the options under headings."""

    context_class = _Context

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line: arguments, required options, and that there are others."""
        _, *arguments = super().collect_usage_pieces(ctx)
        required = [f"{each.opts[0]} {each.make_metavar(ctx)}" for each in self._options(ctx) if each.required]
        return [*arguments, *required, "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, which stand in the order in which the command first uses them."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for each in self._options(ctx):
            if (record := each.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(each, "heading", GENERAL), []).append(record)
        shared = groups.pop(GENERAL, [])
        for heading, rows in [*groups.items(), (GENERAL, shared)]:
            with formatter.section(heading):
                formatter.write_dl(rows)

    def _options(self, ctx: click.Context) -> list[click.Option]:
        return [each for each in self.get_params(ctx) if isinstance(each, click.Option)]

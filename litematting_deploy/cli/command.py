"""What all commands share: errors as one line, progress, common options."""

import contextlib
import importlib
import io
import logging
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .. import __version__
from ..errors import LiteMattingError, OutputError
from ..system import command_line, ending_signals
from .help import HelpfulCommand, epilog, variable_prefix
from .log import FORMS, LOG, Level, log_options

INTERRUPTED = 130
_COMMAND_LINE = re.compile(r"""`(ltm-\w+(?: (?:'[^']*'|"'"|[^`'"\s])+)+)`""")


class PlainConsole(Console):
    """A console that spells what cannot be printed: names and what files say may hold commands to a terminal, and bytes
    that are no text."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text of markup, as the base does, with what cannot be printed spelled."""
        return super().render_str(printable(text), **options)

    @property
    def is_terminal(self) -> bool:
        """Whether it is one, whatever FORCE_COLOR says: a bar in a log is of no use."""
        return self.file.isatty()

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as the base does. Raises `OutputError` where the terminal or file takes no more."""
        try:
            super().print(*objects, **options)
        except BrokenPipeError:  # Click's to handle: who reads has enough
            raise
        except OSError as error:
            name = "standard error" if self.stderr else "standard output"
            raise OutputError(f"{name} cannot be written: {error.strerror}; free some space") from error


def printable(text: str) -> str:
    """Return a name, or what a file says, with what a terminal would obey spelled out."""
    obeyed = (sign for sign in set(text) if not sign.isprintable() and sign != "\n")
    return text.translate({ord(sign): sign.encode("unicode_escape").decode() for sign in obeyed})


stderr = PlainConsole(stderr=True, highlight=False, soft_wrap=True)
stdout = PlainConsole(highlight=False)
# What is waited for is redrawn in place, and a console that leaves long lines to the terminal would cut it off.
_wrapping = PlainConsole(stderr=True, highlight=False)
_silent = PlainConsole(quiet=True)


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def say(text: str) -> None:
    """Print text on the standard output as it is, in lines as long as they are."""
    if (line := LOG.line(text, "result")) is not None:
        stdout.print(line, markup=False, soft_wrap=True)


def waiting(doing: str) -> Status:
    """Return a context that shows what is being done, on a terminal, in as many lines as it takes."""
    console = _wrapping if LOG.shows_bars else _silent
    return console.status(Text(printable(doing)))


def show_waiting(status: Status, doing: str) -> None:
    """Show something else that is being done."""
    status.update(Text(printable(doing)))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", *, words: int = 1) -> Table:
    """Return a table whose first `words` columns are flush left, and the others, of numbers, flush right."""
    made = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", pad_edge=False)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="left" if index < words else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(escape, row))  # names may hold brackets, which Rich would take for its markup
    return made


class Command(HelpfulCommand):
    """A command whose failures are one line on stderr and an exit code: 2 for usage, 1 for anything else."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        name = self.name or "ltm"
        LOG.quiet, LOG.form, LOG.command = False, FORMS[0], name
        _fill_standard_descriptors()
        _spell_what_has_no_code()
        # Without any handler, Python itself prints what Pillow logs on the standard error.
        logging.getLogger("PIL").addHandler(logging.NullHandler())
        if threading.current_thread() is threading.main_thread():
            # By default they end a process without any `finally`, and drafts would stay behind.
            for ending in ending_signals():
                if signal.getsignal(ending) == signal.SIG_DFL:  # nohup has SIGHUP ignored
                    signal.signal(ending, _terminate)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default", UserWarning)
                warnings.filterwarnings("ignore", module=r"PIL\.")  # about tags that are passed over
                warnings.showwarning = lambda message, *_, **__: notice(f"{name}: warning: {message}", "warning")
                code = super().main(args, prog_name=name, standalone_mode=False, **extra)
        except click.UsageError as error:
            fail(f"{name}: {error.format_message()}{_from_variable(error)} (see {name} --help)", error.exit_code)
        except click.ClickException as error:
            fail(f"{name}: {error.format_message()}", error.exit_code)
        except LiteMattingError as error:
            fail(f"{name}: {with_flags(f'{error}{_noted(error)}', self)}", error.exit_code)
        except MemoryError:
            fail(f"{name}: out of memory; use smaller patches, a smaller --batch or a smaller image", 1)
        except click.Abort as error:
            fail(with_flags(f"{name}: interrupted{_noted(error.__cause__, ': ')}", self), INTERRUPTED)
        except SystemExit as error:
            # As `_terminate` raises it; the terminal may be gone by now.
            if said := _noted(error, ""):
                with contextlib.suppress(OutputError):
                    notice(with_flags(f"{name}: stopped: {said}", self))
            raise
        sys.exit(code if isinstance(code, int) else 0)


def _noted(error: BaseException | None, joint: str = "; ") -> str:
    """Return the notes that a job has added to what ended it, such as what is kept, in one line after `joint`."""
    notes = getattr(error, "__notes__", [])
    return joint + "; ".join(notes) if notes else ""


def _fill_standard_descriptors() -> None:
    """Open the standard descriptors that the shell has closed, on nothing.

    Otherwise a file of ours would get the number, and whatever a library writes to the standard error would go there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, and those below are taken


def _spell_what_has_no_code() -> None:
    """Have standard streams spell signs that their encoding lacks, such as × in a code page of Windows, as \\xd7."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a program that calls a command may have put something else there
            stream.reconfigure(errors="backslashreplace")


def _terminate(number: int, _: object) -> NoReturn:
    """Leave as any exit does, so that no half-written file stays behind; with the code that shells have for it."""
    sys.exit(128 + number)


def command(name: str) -> Callable[[Callable[..., Any]], Command]:
    """Return the decorator of every command: `click.command` with our errors, -h, --version and what `log` has; and
    with a variable of the environment for each option, see `_variables`."""

    def decorate(function: Callable[..., Any]) -> Command:
        versioned = click.version_option(__version__, prog_name=name)(log_options(function))
        settings = {"help_option_names": ["-h", "--help"]}
        made = click.command(name, cls=Command, context_settings=settings, epilog=epilog(name))(versioned)
        for parameter in made.params:
            if isinstance(parameter, click.Option) and parameter.name != "version":
                parameter.envvar = _variables(name, parameter)
        return made

    return decorate


def _variables(command: str, option: click.Option) -> list[str]:
    """Return the environment variables of an option, the first that is set counts: LTM_INFER_DEVICE, LTM_DEVICE."""
    name = _flag(option).lstrip("-").replace("-", "_").upper()
    return [f"{variable_prefix(command)}{name}", f"LTM_{name}"]


def _from_variable(error: click.UsageError) -> str:
    """Return which environment variable has set the option that an error is about, in words; nothing where none has."""
    parameter, context = getattr(error, "param", None), error.ctx
    if not isinstance(parameter, click.Option) or context is None or parameter.name is None:
        return ""
    if context.get_parameter_source(parameter.name) is not ParameterSource.ENVIRONMENT:
        return ""
    names = parameter.envvar if isinstance(parameter.envvar, list) else []
    return next((f" (set by {name})" for name in names if os.environ.get(name)), "")


def with_flags(message: str, command: click.Command) -> str:
    """Return a message of the package, in which parameters are written as `name` or `name=value`, with flags in their
    place: `step` becomes --step, `plan=adaptive` --plan adaptive, `ltm-build m.onnx tf32=True` a command to copy.

    The flags are those of the command, or else of ltm-infer, which a message about a mask may send people to. Names
    that neither has stay, since they are another library's.
    """
    named = {parameter.name: parameter for parameter in command.params}

    def flag(match: "re.Match[str]") -> str:
        parameter = named.get(match[1]) or _options("ltm-infer").get(match[1])
        if parameter is None:
            return match[0]
        if isinstance(parameter, click.Argument):
            return parameter.make_metavar(click.Context(command)).strip("[]")
        if match[2] == "False" and parameter.secondary_opts:
            return max(parameter.secondary_opts, key=len)
        return _flag(parameter) if match[2] is None else f"{_flag(parameter)} {match[2]}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", flag, _COMMAND_LINE.sub(_command_line, message))


def _command_line(match: "re.Match[str]") -> str:
    """Return a command of ours, whose options are written as name=value, as a shell takes it."""
    # File names come from a sidecar that nobody vouches for: they are quoted again.
    name, source, *words = shlex.split(match[1])
    options, line = _options(name), [name, source]
    for word in words:
        option, _, value = word.partition("=")
        line += [_flag(options[option])] if value == "True" else [_flag(options[option]), value]
    return command_line(line)


def _options(command: str) -> dict[str, click.Option]:
    """Return the options of another command by their parameters; a command is in the file of its name."""
    params = importlib.import_module(f".{command.removeprefix('ltm-')}", __package__).main.params
    return {each.name: each for each in params if isinstance(each, click.Option)}


def _flag(option: click.Parameter) -> str:
    """Return the longest flag of an option, which people understand without the help."""
    return max(option.opts, key=len)


def notice(message: str, level: Level = "info", **fields: Any) -> None:
    """Print one line on stderr, with the flags of the command that runs. level, fields: as of `Log.line`."""
    context = click.get_current_context(silent=True)
    line = LOG.line(message if context is None else with_flags(message, context.command), level, **fields)
    if line is not None:
        stderr.print(line, markup=False)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr, whatever line breaks the message has, and exit."""
    with contextlib.suppress(OutputError):
        notice(" ".join(message.split()), "error", exit_code=code)
    sys.exit(code)

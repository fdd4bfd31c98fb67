"""Run the recorded commands with the code of one commit: python side.py CODE JOBS.json

Runs in the folder that gets the results: each job in a folder of its own, with the inputs in ../inputs. What the
commands say and their exit codes go to said.json. Commands are found by the entry points in CODE/setup.cfg, so nothing
of the package is named here. Each command is a fork of this process, which has loaded the slow libraries already.
"""

import configparser
import contextlib
import importlib
import json
import os
import shlex
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

# Not ONNX Runtime, which starts threads: these do not live on in a fork.
SLOW = ("cv2", "PIL.Image", "av", "OpenEXR", "onnx", "torch")
UNKNOWN_COMMAND, CRASHED = 127, 70


def entry_points(code: Path) -> dict[str, str]:
    """Return module:function of each command that a checkout installs."""
    parser = configparser.ConfigParser()
    parser.read(code / "setup.cfg")
    lines = parser["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): target.strip() for name, target in (line.split("=") for line in lines)}


def call(target: str | None, arguments: list[str]) -> int:
    """Run one command in this process and return its exit code."""
    if target is None:
        print("No such command", file=sys.stderr)
        return UNKNOWN_COMMAND
    module, _, function = target.partition(":")
    try:
        getattr(importlib.import_module(module), function)(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - a crash is a result like any other
        traceback.print_exc()
        return CRASHED
    return 0


def run(words: list[str], folder: Path, commands: dict[str, str]) -> dict[str, Any]:
    """Run one command in a fork of this process; return its words, exit code and what it printed."""
    outputs = [Path(f".{name}").absolute() for name in ("out", "err")]
    if (child := os.fork()) == 0:
        os.chdir(folder)
        for number, path in enumerate(outputs, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = words
        code = call(commands.get(words[0]), words[1:])
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out, err = (path.read_text(errors="backslashreplace") for path in outputs)
    return {"command": shlex.join(words), "code": code, "out": out, "err": err}


def main() -> None:
    code, jobs = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    for module in SLOW:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    commands, record = entry_points(code), Path("said.json")
    said = json.loads(record.read_text()) if record.exists() else {}
    for name, lines in jobs.items():
        folder = Path(name)
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
        folder.mkdir()
        said[name] = [run(shlex.split(line), folder, commands) for line in lines]
        record.write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()

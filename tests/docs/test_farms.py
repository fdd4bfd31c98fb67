"""The farms' page: what each scheduler would start, with the scheduler's words replaced as it replaces them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litematting_deploy.jobs.frame_numbers import shard
from tests.docs.pages import Block, all_blocks, build

PAGE = "docs/how-to/farm.md"
PARTS = 16


def block(word: str) -> Block:
    (found,) = (each for each in all_blocks() if each.page == PAGE and word in each.text)
    return found


def slurm(folder: Path) -> list[list[str]]:
    """Run the script as each task of its array, with a command that only writes down its words."""
    first, last = map(int, re.findall(r"--array=(\d+)-(\d+)", block("#SBATCH").text)[0])
    return slurm_tasks(folder, list(range(first, last + 1)))


def slurm_tasks(folder: Path, tasks: list[int]) -> list[list[str]]:
    """Run the script as an array of tasks."""
    script = block("#SBATCH").text
    recorder = folder / "ltm-infer"
    recorder.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
    recorder.chmod(0o755)
    started = []
    for task in tasks:
        own = {
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": str(len(tasks)),
            "SLURM_ARRAY_TASK_MIN": str(min(tasks)),
            "SLURM_ARRAY_TASK_MAX": str(max(tasks)),
        }
        environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **own}
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
        started.append(["ltm-infer", *done.stdout.splitlines()[1:]])
    return started


def opencue(_: Path) -> list[list[str]]:
    """Run the program with stand-ins for OpenCue's modules, and put each frame's number into the layer's command."""
    layers: list[Any] = []

    class Outline:
        def __init__(self, name: str, **_: str) -> None: ...

        def add_layer(self, layer: Any) -> None:
            layers.append(layer)

    launched: list[object] = []
    cuerun = SimpleNamespace(launch=lambda job, **_: launched.append(job))
    modules = {
        "outline": SimpleNamespace(Outline=Outline, cuerun=cuerun),
        "outline.modules": SimpleNamespace(),
        "outline.modules.shell": SimpleNamespace(Shell=lambda name, **given: {"name": name, **given}),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        exec(compile(block("outline").text, PAGE, "exec"), {})
    (layer,) = layers
    assert len(launched) == 1
    first, last = map(int, layer["range"].split("-"))
    return [[word.replace("#IFRAME#", str(frame)) for word in layer["command"]] for frame in range(first, last + 1)]


def deadline(_: Path) -> list[list[str]]:
    words = shlex.split(block("deadlinecommand").text.replace("\\\n", " "))
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert words[:2] == ["deadlinecommand", "-SubmitCommandLineJob"]
    assert given["-chunksize"] == "1"
    first, last = map(int, given["-frames"].split("-"))
    return [
        [given["-executable"], *shlex.split(given["-arguments"].replace("<STARTFRAME>", str(frame)))]
        for frame in range(first, last + 1)
    ]


@pytest.mark.parametrize("scheduler", [slurm, opencue, deadline])
def test_tasks_are_commands_that_share_all_frames_out(scheduler: Any, tmp_path: Path) -> None:
    started = scheduler(tmp_path)
    assert len(started) == PARTS
    frames = list(range(100))
    done: list[int] = []
    for command, *words in started:
        context = build.commands()[command].make_context(command, list(words))
        assert context.params["resume"] is True
        done += shard(frames, context.params["shard"])
    assert sorted(done) == frames


def test_slurm_tasks_that_are_submitted_again_have_their_old_parts(tmp_path: Path) -> None:
    """By `sbatch --array=3,7`, which makes an array of two."""
    whole = slurm(tmp_path)
    assert slurm_tasks(tmp_path, [3, 7]) == [whole[2], whole[6]]

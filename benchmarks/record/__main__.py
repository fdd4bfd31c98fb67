"""Run the commands of two commits on this machine and compare everything that they make.

python -m benchmarks.record OLD [NEW] [--only PATTERN] [--keep DIR]

Run it in the root of a checkout. OLD and NEW (default: the working tree) are commits; both run with the packages of the
interpreter that runs this. jobs.toml says which commands. Exits with 1 where a file or an exit code differs; what the
commands print is listed apart, and changes nothing. A job whose options OLD does not know is left out, and named.
With --keep, each job of OLD runs once: give each OLD a folder of its own, and remove it where inputs.py changes.
"""

import argparse
import difflib
import fnmatch
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from shutil import copy, copytree, rmtree
from typing import Any

from .compare import MEASURED_JOBS, differences, same_words
from .inputs import ASSETS, make_inputs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WITH_ENGINE = ("ltm-infer", "ltm-eval", "ltm-batch")
NETWORK = "ltm-export ../inputs/litematting.safetensors -o net.onnx --height 64 --width 64"
ORDERLY = (0, 1, 2)  # all other exit codes are crashes, which are never as they should be
SHOWN = 8  # differences of one file
Jobs = dict[str, list[str]]
Said = dict[str, list[dict[str, Any]]]


def chosen_jobs(pattern: str) -> Jobs:
    """Return the commands of each job that is chosen and can run here."""
    jobs: Jobs = {}
    for name, lines in tomllib.loads((HERE / "jobs.toml").read_text()).items():
        if not fnmatch.fnmatch(name, pattern):
            continue
        if name == "ray" and find_spec("ray") is None:
            print("ray: left out, Ray is not installed")
            continue
        for line in lines:
            by_default = line.startswith(WITH_ENGINE) and "--engine" not in line and name != "shipped"
            whole = line + " --engine IN/net.onnx" * by_default
            jobs.setdefault(name, []).append(shlex.join(shlex.split(whole.replace("IN/", "../inputs/"))))
    return jobs


def take_out(commit: str, folder: Path) -> Path:
    """Unpack a commit into a new folder."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"commit {commit} cannot be read: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run(code: Path, inputs: Path, folder: Path, jobs: Jobs) -> Said:
    """Run those jobs that a folder has no results of; return what all said, without this side's paths."""
    started, record = time.perf_counter(), folder / "said.json"
    if not folder.exists():
        copytree(inputs, folder / "inputs")
    before: Said = json.loads(record.read_text()) if record.exists() else {}
    known = {name: [one["command"] for one in before[name]] for name in before}
    wanted = {name: lines for name, lines in jobs.items() if known.get(name) != lines}
    (folder / "jobs.json").write_text(json.dumps(wanted))
    environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    command = [sys.executable, str(HERE / "side.py"), str(code), "jobs.json"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    print(f"{folder.name}: {len(wanted)} jobs in {time.perf_counter() - started:.0f} s", flush=True)
    text = record.read_text().replace(str(code), "CODE").replace(str(folder), "FOLDER")
    said: Said = json.loads(text)
    return said


def prepare(code: Path, base: Path) -> None:
    """Make the inputs of both sides, and a small network by the old code: the new one reads old exports, too."""
    if base.exists() and any(base.iterdir()):
        raise SystemExit(f"{base}: is neither empty nor a finished record; remove it or choose another folder")
    make_inputs(base / "inputs")
    for asset in ("litematting.safetensors", "tiny.onnx"):
        copy(ASSETS / asset, base / "inputs")
    run(code, base / "inputs", base / "network", {"made": [NETWORK]})
    for path in (base / "network" / "made").iterdir():
        copy(path, base / "inputs")


def compare_job(name: str, old: Path, new: Path, said: tuple[list[Any], list[Any]]) -> tuple[list[str], list[str]]:
    """Return what differs in the files and exit codes of a job, and what differs in its words."""
    files, words = [], []
    for before, after in zip(*said, strict=True):
        if before["code"] != after["code"] or after["code"] not in ORDERLY:
            files.append(f"{before['command']}: exit code {before['code']} -> {after['code']}: {after['err'][-300:]}")
        for stream in ("out", "err"):
            said_old, said_new = (same_words(one[stream], name.startswith(MEASURED_JOBS)) for one in (before, after))
            lines = difflib.unified_diff(said_old.splitlines(), said_new.splitlines(), lineterm="", n=0)
            apart = [line for line in lines if line[:2] not in ("--", "++", "@@")]
            if apart:
                words.append("\n    ".join([f"{before['command']}: std{stream}", *apart]))
    found = {path.relative_to(side / name) for side in (old, new) for path in (side / name).rglob("*")}
    for path in sorted(found):
        one, other = old / name / path, new / name / path
        if one.is_file() and other.is_file():
            differ = list(differences(one, other, name))
            files += [f"{name}/{path}: {line}" for line in differ[:SHOWN]]
            files += [f"{name}/{path}: {len(differ) - SHOWN} more differences"] * (len(differ) > SHOWN)
        elif not (one.is_dir() and other.is_dir()):
            files.append(f"{name}/{path}: only the {'old' if one.exists() else 'new'} code wrote it")
    return files, words


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", help="default: the working tree")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="jobs of such names, as 'clip-*'")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep inputs and results; OLD's are used again")
    arguments = parser.parse_args()
    jobs = chosen_jobs(arguments.only)
    with tempfile.TemporaryDirectory() as scratch:
        base = (arguments.keep or Path(scratch) / "record").absolute()
        code = take_out(arguments.old, Path(scratch) / "code-old")
        if not (base / "old").exists():
            prepare(code, base)
        old = run(code, base / "inputs", base / "old", jobs)
        code = take_out(arguments.new, Path(scratch) / "code-new") if arguments.new else ROOT
        rmtree(base / "new", ignore_errors=True)
        new = run(code, base / "inputs", base / "new", jobs)
        files: list[str] = []
        words: list[str] = []
        for name in jobs:
            if unknown := [one["err"] for one in old[name] if "No such option" in one["err"] or one["code"] == 127]:
                print(f"{name}: left out, the old code says: {unknown[0].strip()}")
                continue
            more_files, more_words = compare_job(name, base / "old", base / "new", (old[name], new[name]))
            files, words = files + more_files, words + more_words
        codes = Counter(one["code"] for name in jobs for one in old[name])
        count = sum(path.is_file() for name in jobs for path in (base / "old" / name).rglob("*"))
    for title, lines in (("WORDS", words), ("FILES AND EXIT CODES", files)):
        print(f"\n{title}: {len(lines)} differences", *lines, sep="\n")
    exits = ", ".join(f"{number} with {code}" for code, number in sorted(codes.items()))
    print(f"\nof the old code: {len(jobs)} jobs; commands by exit code: {exits}; {count} files")
    return int(bool(files))


if __name__ == "__main__":
    sys.exit(main())

"""Who may know whom (DESIGN), what must not be imported, and which words belong to the commands alone."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, ROOT

PACKAGE = ROOT / "litematting_deploy"
CLI_FILES = sorted((PACKAGE / "cli").glob("*.py"))
SEAMS = {"errors", "files", "isolation", "parameters", "profiling", "schema", "sidecar", "specs", "system", "_optional"}
ALLOWED = {
    "errors": set(),
    "_optional": set(),
    "files": set(),
    "isolation": set(),
    "parameters": set(),
    "profiling": set(),
    "schema": set(),
    "sidecar": set(),
    "specs": set(),
    "system": set(),
    "images": set(),
    "model": set(),
    "engines": set(),
    "matting": {"images"},
    "runtime": {"engines", "images", "matting", "model"},
    "segmentation": {"engines", "images"},
    "evaluation": {"images", "matting", "runtime"},
    "export": {"model"},
    "jobs": {"runtime", "images", "matting", "segmentation", "video"},
    "video": {"images"},
    "server": {"jobs", "runtime", "engines", "images", "segmentation"},
    "demo": {"jobs", "runtime", "images", "matting", "segmentation", "server"},
    "training": {"model", "images", "matting", "evaluation"},
    "doctor": {"engines", "export", "images", "matting", "runtime", "benchmarks", "video"},
    "benchmarks": {"engines", "images", "matting", "model", "runtime", "jobs", "export", "evaluation"},
}


def rooms_known(file: Path) -> set[str]:
    """First-level names of this package that a file imports, wherever in it."""
    depth = len(file.relative_to(PACKAGE).parts) - 1
    known = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            known |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert not (node.module or "").startswith("litematting_deploy"), f"{file}: imports inside are relative"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not any(name.startswith("litematting_deploy") for name in names), (
                f"{file}: imports inside are relative"
            )
    return known - {"__version__"}


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_know_only_whom_they_may(room: str) -> None:
    files = files_of(room)
    known = {name for file in files for name in rooms_known(file)}
    assert known <= ALLOWED[room] | SEAMS


def test_no_room_is_forgotten_and_no_one_knows_the_commands() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == {*ALLOWED, "cli", "__init__"}
    assert not any("cli" in allowed for allowed in ALLOWED.values())


def imports_of(file: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of this package that a file imports, in functions too, but not for types alone."""
    package = [PACKAGE.name, *file.relative_to(PACKAGE).parent.parts]
    pending: list[ast.AST] = [ast.parse(file.read_text())]
    found = set()
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
                names = {".".join([*base, alias.name]) for alias in node.names}
                found |= {name if name in modules else ".".join(base) for name in names}
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                pending += node.orelse
            else:
                pending.append(node)
    return found & modules.keys()


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Inside rooms and across them. An import in a function, which keeps what is slow or optional for later, hides a
    cycle and does not mend it."""
    modules = {
        ".".join([PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    left = {name: imports_of(file, modules) for name, file in modules.items()}
    assert left[f"{PACKAGE.name}.images.photo"] >= {f"{PACKAGE.name}.{name}" for name in ("errors", "images.decode")}
    while ready := {name for name, known in left.items() if not known & left.keys()}:
        left = {name: known for name, known in left.items() if name not in ready}
    # What is left lies on a cycle or leads to one; by what they know of each other, it is easy to find.
    assert {name: sorted(known & left.keys()) for name, known in left.items()} == {}


IMPORTS = """
import sys
before = set(sys.modules)  # a .pth file of the CUDA 12 bindings puts cuda there at start-up
{work}
heavy = {{"torch", "tensorrt", "tensorrt_rtx", "cuda", "onnx", "pymatting", "lightning"}}
heavy |= {{"numba", "scipy", "matplotlib", "fvcore", "safetensors", "pytest", "av"}}  # slow to start, too
heavy |= {{"grpc", "tritonclient", "http.client"}}
heavy |= {unwanted!r}
heavy &= set(sys.modules) - before
assert not heavy, heavy
"""
INFER = """
from litematting_deploy.cli.infer import main
try:
    main({arguments!r})
except SystemExit as done:
    assert done.code == 0, done.code
"""


@pytest.mark.parametrize(
    ("work", "unwanted"),
    [
        ("import litematting_deploy", {"numpy", "cv2", "PIL", "OpenEXR", "rich", "onnxruntime"}),
        (INFER.format(arguments=["--help"]), {"onnxruntime", "psutil"}),
        (
            INFER.format(arguments=["{folder}/photo.png", "{folder}/trimap.png", "-o", "{folder}/alpha.png"]),
            set(),
        ),
        ("import litematting_deploy.training.drawing", {"onnxruntime"}),  # in each of the workers
    ],
    ids=["import", "help", "inference", "drawing"],
)
def test_light_paths_import_nothing_heavy(work: str, unwanted: set[str], tmp_path: Path) -> None:
    for source, name in ((EXAMPLE, "photo.png"), (EXAMPLE_TRIMAP, "trimap.png")):
        with Image.open(source) as picture:
            picture.crop((600, 1000, 800, 1160)).save(tmp_path / name)
    script = IMPORTS.format(work=work.replace("{folder}", str(tmp_path)), unwanted=unwanted)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FLAG = re.compile(r"""(^|[\s"'(`])--?[a-z]""")
LOGGED = {"critical", "debug", "error", "exception", "info", "log", "note", "warn", "warning"}


def flags_in_messages(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that name a flag, such as --step, in what is raised, warned or logged, and in what errors are
    made of, f-strings included."""
    texts = {
        (text.lineno, text.col_offset): text.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _is_message(node.func))
        for text in ast.walk(node)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    }
    yield from (text for text in texts.values() if FLAG.search(text))


def _is_message(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr in LOGGED or function.attr.endswith(("Error", "Warning"))
    return isinstance(function, ast.Name) and function.id.endswith(("Error", "Warning", "warn"))


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('raise UsageError("--step 0: too small")', 1),
        ('raise UsageError(f"{path}: use {fix} or -o {name}", parameter="output")', 1),
        ('warnings.warn(f"slow; leave --compile out")', 1),
        ('logger.info("resumed with `--resume`")', 1),
        ('error = InputError("a mask (--mask)")', 1),
        ('raise UsageError("`step` must be between 1 and 64; got -3")', 0),
        ('raise UsageError("a well-known fix of 3 - 4 words")', 0),
        ('subprocess.run(["ffmpeg", "-i", name, "--nostdin"])', 0),
        ('def f() -> None: "Runs ltm-infer --step 3."', 0),
    ],
    ids=["raised", "f-string", "warned", "logged", "made", "number", "hyphen", "other program", "docstring"],
)
def test_flags_are_found_in_messages_alone(code: str, count: int) -> None:
    assert len(list(flags_in_messages(ast.parse(code)))) == count


def test_only_commands_name_flags() -> None:
    """An error outside `cli` names the parameter; `cli.command.with_flags` prints the command's flag for it."""
    files = {file.relative_to(PACKAGE).as_posix(): file for file in sorted(PACKAGE.rglob("*.py"))}
    found = {
        name: list(flags_in_messages(ast.parse(file.read_text())))
        for name, file in files.items()
        if not name.startswith("cli/")
    }
    assert not {name: texts for name, texts in found.items() if texts}, "name the parameter, as in `step`"


def test_no_text_outside_the_commands_names_one_of_their_flags() -> None:
    """Not even one that is put into a message elsewhere, as a constant or what a function returns."""
    modules = [importlib.import_module(f"{PACKAGE.name}.cli.{file.stem}") for file in CLI_FILES]
    own = {
        flag
        for command in (getattr(module, "main", None) for module in modules)
        if isinstance(command, click.Command)
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if flag.startswith("--")
    }
    assert own >= {"--engine", "--step", "--refine"}
    found: dict[str, set[str]] = {}
    for file in sorted(set(PACKAGE.rglob("*.py")) - set(CLI_FILES)):
        tree = ast.parse(file.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
        named = own.intersection(flag for text in texts for flag in re.findall(r"--[a-z][a-z0-9-]*", text))
        found |= {file.relative_to(PACKAGE).as_posix(): named} if named else {}
    # The page says which command can do what it has no control for; trtexec and nvidia-smi have flags of their own.
    assert found == {
        "demo/source.py": {"--allow-no-unknown", "--key-tolerance"},
        "engines/tensorrt/builder.py": {"--refit", "--verbose"},
        "system.py": {"--format"},
    }


def prints(tree: ast.AST) -> Iterator[str]:
    """Yield what writes to a terminal: calls of `print`, and imports of Rich."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "rich")
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "rich":
            yield f"{node.module}"


def test_nothing_but_commands_prints() -> None:
    """What goes on is reported through callbacks."""
    assert len(list(prints(ast.parse("import rich.text\nfrom rich.console import Console\nprint(1)\nc.print(2)")))) == 3
    found = {
        file.relative_to(PACKAGE).as_posix(): list(prints(ast.parse(file.read_text())))
        for file in PACKAGE.rglob("*.py")
    }
    assert [name for name, calls in found.items() if calls and not name.startswith("cli/")] == []


PLATFORM_MODULES = {
    "fcntl",
    "grp",
    "msvcrt",
    "platform",
    "posix",
    "psutil",
    "pty",
    "pwd",
    "resource",
    "termios",
    "winreg",
}
PLATFORM_NAMES = {"sys.platform", "os.name", "os.uname", "sysconfig.get_platform", "sys.getwindowsversion"}


def platform_questions(tree: ast.AST) -> Iterator[str]:
    """Yield what asks which system this is, or is of some systems alone: names, modules, and files as /proc/stat."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PLATFORM_MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            yield from names & (PLATFORM_MODULES | PLATFORM_NAMES)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in PLATFORM_NAMES:
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from re.findall(r"^/(?:proc|sys|dev)/.*|^[\w-]+\.(?:so\.\d+|dll)\b", node.value)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('if sys.platform != "linux": pass', 1),
        ("import os\nif os.name == 'nt': pass", 1),
        ("import platform\nplatform.machine()", 1),
        ("from sys import platform", 1),
        ("import fcntl, os", 1),
        ('Path("/proc/self/stat")', 1),
        ('ctypes.CDLL("libcuda.so.1")', 1),
        ('"Reads /proc/stat."', 0),
        ("provider.platform.name", 0),
        ("os.name_of(sys.platforms)", 0),
    ],
)
def test_questions_about_the_system_are_found(code: str, count: int) -> None:
    assert len(list(platform_questions(ast.parse(code)))) == count


def test_only_system_asks_which_system_this_is() -> None:
    """And its answers have a test for each branch: tests/test_platforms.py."""
    asked = {
        file.relative_to(PACKAGE).as_posix(): list(platform_questions(ast.parse(file.read_text())))
        for file in sorted(PACKAGE.rglob("*.py"))
    }
    assert [name for name, questions in asked.items() if questions] == ["system.py"], asked


def texts_without_encoding(tree: ast.AST) -> Iterator[str]:
    """Yield calls that read or write text in whatever code page the system has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        opened = ast.unparse(node.func) == "open" and not (len(node.args) > 1 and "b" in ast.unparse(node.args[1]))
        # A formatter's `write_text` of click is no file's.
        written = name == "write_text" and len(node.args) < 2 and ast.unparse(node.func) != "super().write_text"
        if opened or (name == "read_text" and not node.args) or written:
            yield ast.unparse(node)


def test_texts_are_in_utf_8_whatever_the_system_writes() -> None:
    assert len(list(texts_without_encoding(ast.parse('open(p); open(p, "w"); p.read_text(); p.write_text(t)')))) == 4
    assert not list(texts_without_encoding(ast.parse('open(p, "rb"); open(p, encoding="utf-8"); p.read_text("utf-8")')))
    found = {
        file.relative_to(PACKAGE).as_posix(): list(texts_without_encoding(ast.parse(file.read_text())))
        for file in PACKAGE.rglob("*.py")
    }
    assert [name for name, calls in found.items() if calls] == ["system.py"], "whose files are the kernel's, in ASCII"

"""What the container images consist of, and the whole of it in a root directory of its own."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT

DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
FRESH_ROOT = Path(__file__).with_name("fresh_root.sh")


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile and their arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_what_the_script_installs_and_its_user_is_not_root(name: str) -> None:
    given = instructions(name)
    script = (ROOT / "container" / "install.sh").read_text()
    (ran,) = (rest for word, rest in given if word == "RUN")
    assert ran.endswith("sh /source/container/install.sh ${EXTRAS}")
    words = [word for word, _ in given]
    assert words.index("USER") > words.index("RUN"), "the user comes after what root installs"
    uid, _, gid = dict(given)["USER"].partition(":")
    assert f"--uid {uid} " in script
    assert f"--gid {gid} " in script
    assert int(uid) > 1000
    assert "PATH=/opt/litematting/bin:$PATH" in dict(given)["ENV"]
    assert all(f"{variable}=/cache" in dict(given)["ENV"] for variable in ("XDG_CACHE_HOME", "TMPDIR", "HOME"))
    assert dict(given)["VOLUME"] == "/cache"
    arguments = dict(rest.partition("=")[::2] for word, rest in given if word == "ARG")
    assert set(arguments["EXTRAS"].split(",")) <= set(SETUP["options.extras_require"])
    assert f"Programming Language :: Python :: {arguments['PYTHON']}" in SETUP["metadata"]["classifiers"]


def test_what_the_image_is_built_from_is_sent_to_the_daemon_and_nothing_else() -> None:
    hidden, *sent = (ROOT / ".dockerignore").read_text().split()
    assert hidden == "*"
    assert {name.removeprefix("!") for name in sent} == {
        *("litematting_deploy", "container", "pyproject.toml", "setup.cfg", "README.md", "LICENSE"),
    }


def test_services_are_confined() -> None:
    composed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert composed["services"]["serve"]["ports"] == ["127.0.0.1:8765:8765"], "and no other service has any"
    for name, service in composed["services"].items():
        is_server = name == "serve"
        assert ("ports" in service) == is_server
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["network_mode"] == ("bridge" if is_server else "none")
        assert service["user"] == "${LTM_USER:-10001:10001}"
        assert "no-new-privileges:true" in service["security_opt"]
        mounted = {"/cache"} if is_server else {"/data", "/cache"}
        assert {volume.partition(":")[2] for volume in service["volumes"]} == mounted
        build = service["build"]
        assert (ROOT / ("Dockerfile" if build == "." else build["dockerfile"])).is_file()


def test_no_service_needs_the_variables_of_another() -> None:
    """Compose replaces variables in the whole file for every command: `matte` would need the token of `serve`."""
    text = (ROOT / "compose.yaml").read_text()
    assert re.findall(r"\$\{(\w+)(:?-)?", text) == [("LTM_USER", ":-")], "a variable without a default"
    assert yaml.safe_load(text)["services"]["serve"]["environment"] == ["LTM_SERVE_TOKEN"], "passed on as it is"


@pytest.mark.slow
@pytest.mark.heavy
def test_the_image_in_a_root_of_its_own(tmp_path: Path) -> None:
    """Installed by root, then used by the image's user with nothing writable but /cache: the doctor, and a photo."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "chroot"))):
        pytest.skip("needs root, unshare, setpriv and chroot")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this system allows no mounts")
    command = ["unshare", "--mount", "--pid", "--fork", "sh", str(FRESH_ROOT), str(tmp_path), str(ROOT)]
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    done = subprocess.run(
        command, env={"PATH": os.defpath, **environment}, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    with Image.open(ROOT / "litematting_deploy" / "assets" / "dandelion.jpg") as photo:
        assert done.stdout.strip().splitlines()[-1] == str(photo.size)

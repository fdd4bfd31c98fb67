"""The form of a request, and the job that it asks for: the fields are those of a photo in Python and of the command.

A form has texts and files. No text is ever taken for the name of a file, on this machine or elsewhere.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO, Literal, get_args, get_origin

from ..errors import LiteMattingError, UsageError, shown
from ..images.background import is_image
from ..images.suffixes import is_exr_name
from ..jobs.api import PhotoOptions
from ..jobs.outputs import suffix_of
from ..parameters import Check, PathName, checks_of
from ..specs import RESULTS, WAYS, Format, JobSpec, OutputSpec, PlanSpec, TrimapSpec, job_of
from ..system import why_no_name

PHOTO = "photo"
_FIELDS: dict[str, tuple[Any, tuple[Check, ...]]] = {
    name: declared for spec in (TrimapSpec, OutputSpec, JobSpec, PlanSpec) for name, declared in checks_of(spec).items()
}
# Of the server's own choice: its engine with its plan, and what it opens, keeps and accepts.
_OWN = {"engine", "plan", "margin", "step", "published", "quality", "segmenter", "max_megapixels"}
_OPTIONS = {
    name: _FIELDS[name]
    for name in (*PhotoOptions.__annotations__, "format")
    if name in _FIELDS and name not in (*_OWN, *RESULTS)
}
FILES = (PHOTO, "trimap", "mask", *(name for name, (_, checks) in _OPTIONS.items() if PathName() in checks))
"""The fields that are files; `background` is a file or the text of a colour."""
TEXTS = {name: declared for name, declared in _OPTIONS.items() if name not in FILES}
"""The fields that are texts, with the type and the checks of each, beside `result`."""
_NAME_LENGTH = 80


@dataclass(frozen=True)
class Upload:
    """A file of a request. name: as the client calls it, which is trusted with nothing."""

    name: str
    content: BinaryIO


@dataclass(frozen=True)
class Form:
    """What a request asks for, as far as it can be told without its files.

    options: fields of the specs by their names. results: the names of what is wanted. names: of the files, by field.
    """

    options: Mapping[str, Any]
    results: tuple[str, ...]
    uploads: Mapping[str, Upload]

    @classmethod
    def of(cls, parts: list[tuple[str, str | Upload]]) -> "Form":
        """Return the form of parts, in order. Raises `UsageError`."""
        texts: dict[str, list[str]] = {}
        uploads: dict[str, Upload] = {}
        for name, part in parts:
            if name not in (*FILES, *TEXTS, "result"):
                accepted = ", ".join(("result", *FILES, *TEXTS))
                raise UsageError(f"{shown(name)} is no field of this form; its fields are {accepted}")
            if isinstance(part, str):
                _check_text(name, part)
                texts.setdefault(name, []).append(part)
            elif name not in FILES and name != "background":
                raise UsageError(f"`{name}` must be a text; got a file")
            elif name in uploads or name in texts:
                raise UsageError(f"`{name}` must be given once; got two of it")
            else:
                uploads[name] = part
        if PHOTO not in uploads:
            raise UsageError(f"`{PHOTO}` must be given, as a file of the form")
        results = tuple(dict.fromkeys(texts.pop("result", ["alpha"])))
        for result in results:
            if result not in RESULTS:
                raise UsageError(f"`result` must be one of {', '.join(RESULTS)}; got {shown(result)}")
        options = {name: _value(name, given) for name, given in texts.items()}
        return cls(options, results, uploads)

    def save(self, folder: Path) -> dict[str, str]:
        """Write the files below a folder that nobody else writes to, and return their paths by field."""
        paths = {}
        for name, upload in self.uploads.items():
            (folder / name).mkdir()
            path = folder / name / _file_name(name, upload.name)
            with path.open("wb") as file:
                shutil.copyfileobj(upload.content, file)
            paths[name] = str(path)
        return paths

    def job(self, paths: Mapping[str, str], results: Path, own: Mapping[str, Any], segmenter: str | None) -> JobSpec:
        """Return the job of the form, which writes into the folder `results`.

        paths: of the files, as `save` returns them. own: the options that the server decides on. segmenter: the
        server's, which makes the mask where nothing else says what the object is. Raises `UsageError`.
        """
        given = {name: path for name, path in paths.items() if name not in (PHOTO, "trimap", "mask")}
        options = {**own, **self.options, **given}
        ways = ("trimap", "mask", *WAYS)
        if segmenter is not None and not any(name in paths or name in options for name in ways):
            options["segmenter"] = segmenter
        kind: Format = options.get("format") or ("exr" if is_exr_name(paths[PHOTO]) else "png")
        wanted = {name: str(results / f"{name}{suffix_of(name, kind)}") for name in ("alpha", *self.results)}
        alpha = wanted.pop("alpha")
        return job_of(paths[PHOTO], alpha, options | wanted, trimap=paths.get("trimap"), mask=paths.get("mask"))


def own_options(plan: PlanSpec, max_megapixels: float) -> dict[str, Any]:
    """Return the options of every job that the server decides on; `refine` is what a form may overrule."""
    return {**asdict(plan), "max_megapixels": max_megapixels}


def sentence(error: LiteMattingError, folder: Path) -> str:
    """Return what an error says, in one line, as the command says it where the files lie in its own folder."""
    text = re.sub(rf"{re.escape(str(folder))}[/\\]\w+[/\\]", "", str(error))
    return " ".join(text.split())


def _check_text(name: str, text: str) -> None:
    """Raise `UsageError` for a text where a file is wanted, and for one that names a file."""
    if name in FILES:
        raise UsageError(
            f"`{name}` must be a file of the form; got the text {shown(text)}; no paths or URLs are opened"
        )
    if name == "background" and is_image(text):
        raise UsageError(
            f"`background` must be a colour, as #rrggbb or white, or a file of the form; got the text {shown(text)}; "
            "no paths or URLs are opened"
        )


def _value(name: str, given: list[str]) -> Any:
    """Return the value that the texts of a field stand for; several are those of a list. Raises `UsageError`."""
    import msgspec

    hint, _ = TEXTS[name]
    is_list = any(get_origin(kind) is tuple for kind in (hint, *get_args(hint)))
    if len(given) > 1 and not is_list:
        raise UsageError(f"`{name}` must be given once; got {len(given)} of it")
    texts = [part.strip() for text in given for part in text.split(",")] if is_list else given[0]
    try:
        return msgspec.convert(texts, hint, strict=False)
    except msgspec.ValidationError:
        raise UsageError(f"`{name}` must be {words_for(hint)}; got {shown(','.join(given))}") from None


def words_for(hint: Any) -> str:
    """Return what the text of a field of a type may be, in words."""
    kinds = [kind for kind in (hint, *get_args(hint)) if kind is not NoneType]
    for kind in kinds:
        if get_origin(kind) is Literal:
            return f"one of {', '.join(get_args(kind))}"
        if get_origin(kind) is tuple:
            count = len(get_args(kind))
            many = Ellipsis in get_args(kind)
            return f"{'' if many else f'{count} '}numbers with commas between them"
    for kind, words in ((bool, "true or false"), (str, "a text"), (int, "a whole number"), (float, "a number")):
        if kind in kinds:
            return words
    raise AssertionError(f"no words for {hint}")


def _file_name(field: str, name: str) -> str:
    """Return a name for an uploaded file: the client's own, which errors then say, where it is a plain one."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    stem, suffix = os.path.splitext(plain)
    is_plain = plain.isprintable() and stem.strip(". ") and len(plain) <= _NAME_LENGTH and not why_no_name(plain)
    return plain if is_plain else f"{field}{suffix if re.fullmatch(r'[.][a-zA-Z0-9]{1,5}', suffix) else ''}"

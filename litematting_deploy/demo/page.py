"""The page: its components and their events. All work is done by the studio."""

import contextlib
import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import LiteMattingError, UsageError
from ..images.suffixes import READ_SUFFIXES
from ..jobs.progress import JobProgress
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..matting.unknown_band import Band
from ..runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP
from ..specs import TrimapSpec
from .source import BRUSHES, OPACITY, Source
from .studio import Results, Studio

TITLE = "LiteMatting: cut hair, fur and smoke out of a photo"
COLOUR = "#2f6f73"
WIDEST_BAND = 100
KEPT_S = 2 * 3600
"""Uploads and results are deleted that long after, and all of them when the server ends."""

_CHOICES = [("Paint it", "paint"), ("Take a mask", "mask"), ("Take a trimap", "trimap")]
_ENCODINGS = [
    ("0 background, 128 unknown, 255 foreground", "exact"),
    ("between: all but 0 and 255 is unknown", "between"),
    ("labels: 0, 1, 2", "labels"),
]
_PICTURE: dict[str, Any] = {"show_label": False, "format": "png", "buttons": ["fullscreen"]}
_SHOWN = _PICTURE | {"interactive": False}
_EDITOR = _PICTURE | {"sources": (), "transforms": (), "layers": False, "height": 430}
_FILES = {"alpha": "Alpha", "cutout": "Cut-out", "background": "New background", "trimap": "Trimap"}
_LABELS = {
    "mask": "a mask (Take a mask)",
    "mask_threshold": "Foreground from this value on",
    "mask_labels": "Class ids of the object",
    "trimap_encoding": "Grey values",
    "unknown_width": "Unknown band",
    "allow_no_unknown": "--allow-no-unknown to ltm-infer",
}
"""What the page calls parameters that messages name."""
_WORDS = {
    "patches": "matting, patch by patch",
    "foreground colours": "foreground colours (PyMatting compiles itself the first time, for half a minute)",
}
_CSS = """
.gradio-container { max-width: 1500px !important; margin: 0 auto; }
#title h1 { margin-bottom: 0; }
.key { display: inline-block; width: .9em; height: .9em; border-radius: 50%; vertical-align: -.1em; }
"""


def _key(value: int, what: str) -> str:
    return f'<span class="key" style="background: rgb{BRUSHES[value]}"></span> {what}'


_HOW = (
    f"{_key(FOREGROUND, 'the inside of what stays')} &nbsp; {_key(UNKNOWN, 'its soft edge: hair, fur, smoke')} &nbsp; "
    f"{_key(BACKGROUND, 'corrections')} &nbsp; **What you leave unpainted is background.** Only what is blue is "
    "estimated; everything else is taken as you painted it."
)


class Page:
    """The components and their events, in a `gr.Blocks`."""

    def __init__(self, gradio: ModuleType, studio: Studio, folder: Path) -> None:
        """Make the components. folder: where uploads are; errors do not name it."""
        self._gr: Any = gradio
        self._studio, self._folder = studio, folder
        self.blocks = self._gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, KEPT_S))
        with self.blocks:
            self._gr.Markdown(
                f"# {TITLE}\n\nUp to {studio.limits}. Nothing leaves this machine. Engine: {studio.engine}.",
                elem_id="title",
            )
            with self._gr.Row(equal_height=False):
                with self._gr.Column():
                    self._inputs()
                with self._gr.Column():
                    self._outputs()
            self._token = self._gr.State(None)
            self._connect()
        self.blocks.queue(max_size=20, default_concurrency_limit=1, api_open=False)

    def look(self) -> dict[str, Any]:
        """Return the look of the page, as `gr.mount_gradio_app` takes it, with fonts that are everywhere."""
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
        theme = self._gr.themes.Soft(primary_hue="teal", neutral_hue="slate", **fonts)
        return {"theme": theme, "css": _CSS, "footer_links": []}

    def _inputs(self) -> None:
        gr = self._gr
        gr.Markdown("## 1 · Photo")
        picture = {"file_types": list(READ_SUFFIXES), "height": 140}
        self._photo = gr.File(label="Photo", elem_id="photo", **picture)
        self._example = gr.Button("Try the example: a dandelion, its trimap, and go", size="sm", elem_id="example")
        gr.Markdown("## 2 · What is what")
        self._kind = gr.Radio(_CHOICES, value="paint", show_label=False, container=False, elem_id="kind")
        with gr.Column() as self._painting:
            gr.Markdown(_HOW)
            # Gradio's editor shows the brushes in this order
            brush = gr.Brush(colors=[(f"rgb{colour}", OPACITY) for colour in BRUSHES.values()], color_mode="fixed")
            self._editor = gr.ImageEditor(
                label="Paint here", placeholder="Choose a photo first", brush=brush, elem_id="editor", **_EDITOR
            )
        with gr.Column(visible=False) as self._filing:
            self._file = gr.File(label="Its file", elem_id="source", **picture)
        with gr.Column(visible=False) as self._band:
            label = f"{_LABELS['unknown_width']}, pixels on each side of the mask's edge"
            self._width = gr.Slider(1, WIDEST_BAND, Band().amount, step=1, label=label, elem_id="width")
            self._adaptive = gr.Checkbox(False, label="Wider where the photo is hairy", elem_id="adaptive")
            self._threshold = gr.Textbox(label=f"{_LABELS['mask_threshold']}, as 128 or 50%", elem_id="threshold")
            self._labels = gr.Textbox(label=f"{_LABELS['mask_labels']}, as 7 or 7, 9", elem_id="labels")
        label = _LABELS["trimap_encoding"]
        self._encoding = gr.Dropdown(_ENCODINGS, value="exact", label=label, visible=False, elem_id="encoding")
        gr.Markdown("## 3 · New background")
        with gr.Row(equal_height=True):
            self._colour = gr.ColorPicker(COLOUR, label="Colour", elem_id="colour", min_width=120, scale=1)
            self._behind = gr.File(label="or an image", elem_id="behind", scale=3, **picture)
        self._run = gr.Button("Cut out", variant="primary", size="lg", elem_id="run")

    def _outputs(self) -> None:
        gr = self._gr
        gr.Markdown("## Result")
        with gr.Tabs():
            with gr.Tab("Before and after"):
                name = "Photo, and over the new background"
                self._slider = gr.ImageSlider(label=name, slider_position=25, elem_id="slider", **_SHOWN)
            pictures = {"cutout": "Cut-out", "alpha": "Alpha", "trimap": "What was unknown"}
            self._pictures = {}
            for name, label in pictures.items():
                with gr.Tab(label):
                    self._pictures[name] = gr.Image(label=label, elem_id=f"shown-{name}", **_SHOWN)
        self._summary = gr.Markdown("", elem_id="summary")
        gr.Markdown("### Download, at the photo's size and depth")
        with gr.Row():
            self._downloads = {
                name: gr.DownloadButton(label, interactive=False, size="sm", min_width=90, elem_id=f"download-{name}")
                for name, label in _FILES.items()
            }
        self._again = gr.Button("Only change the background", size="sm", interactive=False, elem_id="again")

    def _connect(self) -> None:
        gr = self._gr
        outputs = [self._slider, *self._pictures.values(), *self._downloads.values(), self._summary, self._again]
        behind = [self._colour, self._behind]
        reading = [self._kind, self._width, self._adaptive, self._encoding, self._threshold, self._labels]
        inputs = [self._photo, self._editor, self._file, *behind, *reading]
        one = {"concurrency_id": "studio", "concurrency_limit": 1, "api_visibility": "private"}
        self._kind.change(
            self._show_kind, self._kind, [self._painting, self._filing, self._band, self._encoding], **one
        )
        self._photo.upload(self._show_photo, self._photo, self._editor, **one)

        def cut_out(*values: Any, progress: Any = gr.Progress()) -> list[Any]:
            return self._cut_out(progress, *values)

        def run(event: Any) -> Any:
            return event(cut_out, inputs, [self._token, *outputs], show_progress_on=self._slider, **one)

        run(self._run.click)
        filled = [self._photo, self._kind, self._file, self._encoding, self._editor]
        run(self._example.click(self._fill_example, None, filled, **one).success)
        self._again.click(self._put_behind, [self._token, *behind], outputs, show_progress_on=self._slider, **one)

    def _show_kind(self, kind: str) -> list[Any]:
        painting = True if kind == "paint" else "hidden"  # which keeps what was painted
        visible = (painting, kind != "paint", kind == "mask", kind == "trimap")
        return [self._gr.update(visible=each) for each in visible]

    def _show_photo(self, photo: str) -> Any:
        with self._told():
            return self._studio.look(photo)

    def _fill_example(self) -> list[Any]:
        folder = self._folder / "example"
        folder.mkdir(exist_ok=True)
        image, trimap = (str(shutil.copy(path, folder)) for path in (EXAMPLE_IMAGE, EXAMPLE_TRIMAP))
        return [image, "trimap", trimap, "exact", self._show_photo(image)]

    def _cut_out(
        self,
        progress: Any,
        photo: str | None,
        painted: dict[str, Any] | None,
        path: str | None,
        colour: str,
        image: str | None,
        *reading: Any,
    ) -> list[Any]:
        """Do what is asked for, and return what the outputs hold then. reading: as `_spec` takes it."""

        def tell(step: JobProgress) -> None:
            progress((step.done, step.total) if step.total else (1, 1), _WORDS[step.what], unit="patches")

        layers = tuple(painted["layers"]) if painted is not None else ()
        with self._told():
            source = Source(_spec(*reading), path, layers)
            token, matted, results = self._studio.cut_out(photo, source, colour, image, tell)
        if not matted.anything_unknown:
            self._gr.Warning("Nothing is unknown: the alpha is the trimap. Give soft edges a band of unknown.")
        if matted.failure is not None:
            self._gr.Warning(html.escape(f"{self._as_uploaded(matted.failure)}. The alpha is there to download."))
        return [token, *self._shown(results), matted.summary, self._gr.update(interactive=matted.failure is None)]

    def _put_behind(self, token: str | None, colour: str, image: str | None) -> list[Any]:
        with self._told():
            results = self._studio.put_behind(token, colour, image)
        return [*self._shown(results), self._gr.update(), self._gr.update()]

    def _shown(self, results: Results) -> list[Any]:
        made = {name: str(path) for name, path in results.files.items()}
        files = [self._gr.update(value=made.get(name), interactive=name in made) for name in self._downloads]
        pictures = [getattr(results, name) for name in self._pictures]
        after = results.before if results.background is None else results.background
        return [(results.before, after), *pictures, *files]

    def _as_uploaded(self, text: str) -> str:
        """Return a message in one line, with the names that files were uploaded under."""
        return " ".join(re.sub(rf"{re.escape(str(self._folder))}/(\S+/)*", "", text).split())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Show a failure as one line on the page, naming files as they were uploaded."""
        try:
            yield
        except LiteMattingError as error:
            said = _in_words_of_the_page(self._as_uploaded(str(error)))
        except MemoryError:
            said = "out of memory: take a smaller photo"
        else:
            return
        raise self._gr.Error(html.escape(said), duration=None, print_exception=False, title="That did not work")


def _spec(
    kind: str, width: float, adaptive: bool, encoding: Any, threshold: str | None, labels: str | None
) -> TrimapSpec | None:
    """Return how the file of a trimap or mask is read, as was chosen and typed; None for paint. Raises `UsageError`."""
    if kind == "paint":
        return None
    if kind == "trimap":
        return TrimapSpec(trimap_encoding=encoding)
    ids = re.findall(r"[^\s,;]+", labels or "")
    for text in ids:
        if not re.fullmatch(r"[0-9]{1,5}", text):
            raise UsageError(f"{text!r}: wanted class ids, as in 7 or 7, 9")
    return TrimapSpec(
        kind="mask",
        unknown_width=width,
        adaptive=adaptive,
        mask_threshold=(threshold or "").strip() or None,
        mask_labels=tuple(map(int, ids)),
    )


def _in_words_of_the_page(text: str) -> str:
    """Return a message of the package, in which parameters are written as `name` or `name=value`, with the page's."""

    def label(match: "re.Match[str]") -> str:
        name = _LABELS.get(match[1], match[1])
        return name if match[2] is None else f"{name}: {match[2]}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", label, text)

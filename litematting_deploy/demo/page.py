"""The page: its components and their events. All work is done by the studio."""

import contextlib
import html
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LiteMattingError
from ..images.suffixes import READ_SUFFIXES
from ..jobs.progress import WORDS, JobProgress
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..matting.unknown_band import Band
from ..runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP
from .source import AUTOMATIC, BRUSHES, LABELS, OPACITY, PERCENT, PIXELS, Source, in_words_of_the_page
from .studio import Results, Studio

# Gradio gives its components their events at run time, which a type checker does not see.
gr: Any = importlib.import_module("gradio")

TITLE = "LiteMatting: cut hair, fur and smoke out of a photo"
COLOUR = "#2f6f73"
WIDEST_BAND = 100
KEPT_S = 2 * 3600
"""Uploads and results are deleted that long after, and all of them when the server ends."""

_CHOICES = [
    ("Paint by hand", "paint"),
    ("Draw a box", "box"),
    ("Green or blue screen", "key"),
    ("Use a mask", "mask"),
    ("Use a trimap", "trimap"),
]
_SEGMENTER = ("Use a segmentation network", "segmenter")
_ENCODINGS = [
    ("0 background, 128 unknown, 255 foreground", "exact"),
    ("between: everything between 0 and 255 is unknown", "between"),
    ("labels: 0, 1, 2", "labels"),
]
_UNITS = [("automatic", AUTOMATIC), ("pixels", PIXELS), ("% of the subject's size", PERCENT)]
_PICTURE: dict[str, Any] = {"show_label": False, "format": "png", "buttons": ["fullscreen"]}
_SHOWN = _PICTURE | {"interactive": False}
_EDITOR = _PICTURE | {"sources": (), "transforms": (), "layers": False, "height": 430}
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],  # which every system has: Gradio's own would come from another site
    font_mono=["ui-monospace", "monospace"],
)
# What failed before has been dealt with, and would pass for a failure of what begins now.
_CLEAR = "document.querySelectorAll('.toast-close').forEach((button) => button.click())"
# On a narrow screen the result is below the form. The heading of it is shown when a job begins.
_BEGIN = f"""() => {{
  {_CLEAR};
  document.getElementById('result').scrollIntoView({{behavior: 'smooth', block: 'start'}});
}}"""
# Gradio's palette stays open over the photo until the mouse is pressed elsewhere, and the stroke that this begins is
# lost.
_CLOSE_PALETTE = """() => document.addEventListener('click', (event) => {
  if (event.target.closest('#editor button.color')) {
    setTimeout(() => document.body.dispatchEvent(new MouseEvent('mousedown', {bubbles: true})), 50);
  }
}, true)"""
# A box is drawn in blue, and nobody looks for it first. Another brush from the server would take the photo away. The
# editor comes a moment after the photo, and the palette a moment after it is asked for: on a busy machine, a second.
_TAKE_BRUSH = f"""(kind) => {{
  const find = (selector) => document.querySelector('#editor ' + selector);
  const colour = kind === 'box' ? 'rgb{BRUSHES[UNKNOWN]}' : 'rgb{BRUSHES[FOREGROUND]}';
  const turn = window.brushTurn = (window.brushTurn ?? 0) + 1;
  const take = (tries) => {{
    const palette = find('button[aria-label=Color]'), swatch = find(`button.color[style*="${{colour}}"]`);
    if (turn !== window.brushTurn || palette?.style.color === colour) return;
    if (swatch) swatch.click();
    else if (tries % 10 === 0 && find('button[aria-label=Undo]')) {{
      find('button[aria-label=Brush]').click();
      palette?.click();
    }}
    if (tries < 300) setTimeout(() => take(tries + 1), 100);
  }};
  take(0);
}}"""
_FILES = {"alpha": "Alpha", "cutout": "Cut-out", "background": "New background", "trimap": "Trimap"}


def _key(value: int, what: str) -> str:
    """Return a dot in the colour of a brush, and what it stands for, as HTML."""
    return f'<span class="key"><span style="background: rgb{BRUSHES[value]}"></span>{what}</span>'


_PALETTE = "The palette button at the left of the photo changes the colour."
_HOW = (
    f"{_key(FOREGROUND, 'the subject')}{_key(UNKNOWN, 'its soft edges: hair, fur, smoke')}"
    f"{_key(BACKGROUND, 'background (erases)')}\n\n**Everything unpainted is background.** Only blue areas are "
    f"estimated; the rest stays as you painted it. {_PALETTE}"
)
_BOX_STROKE = "circle the subject, or draw one diagonal across it; the box is the rectangle around your stroke"
_HOW_BOX = (
    f"{_key(UNKNOWN, _BOX_STROKE)}"
    f"{_key(FOREGROUND, 'optional: on the subject')}{_key(BACKGROUND, 'optional: on the background')}\n\n"
    f"Green and red help where subject and background have similar colours. {_PALETTE}"
)
_LEGEND = (
    "A trimap says where the subject is sure, where the background is sure, and what is estimated between them "
    "(magenta). Outside the cyan line is sure background, inside the white line sure subject. Yellow line: where the "
    "mask is half sure. Green: the box."
)


class Page:
    """The components and their events, in a `gr.Blocks`."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        """Make the components. folder: where uploads are; errors do not name it."""
        self._studio, self._folder = studio, folder
        self.blocks = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, KEPT_S))
        with self.blocks:
            gr.Markdown(
                f"# {TITLE}\n\nUp to {studio.limits}. Nothing leaves this machine. Engine: {studio.engine}.",
                elem_id="title",
            )
            with gr.Row(equal_height=False):
                with gr.Column():
                    self._inputs()
                with gr.Column():
                    self._outputs()
            self._token = gr.State(None)
            self._connect()
        self.blocks.queue(max_size=20, default_concurrency_limit=1, api_open=False)

    def _inputs(self) -> None:
        """Make the left column: the photo, its trimap and the new background."""
        gr.Markdown("## 1 · Photo")
        picture = {"file_types": list(READ_SUFFIXES), "height": 140}
        self._photo = gr.File(label="Photo", elem_id="photo", **picture)
        self._example = gr.Button("Try the example (a dandelion)", size="sm", elem_id="example")
        gr.Markdown("## 2 · Mark the subject")
        choices = _CHOICES if self._studio.segmenter is None else [*_CHOICES[:3], _SEGMENTER, *_CHOICES[3:]]
        self._kind = gr.Radio(choices, value="paint", show_label=False, container=False, elem_id="kind")
        with gr.Column() as self._painting:
            self._how = gr.Markdown(_HOW)
            self._first = gr.Markdown("**Load a photo first.**")
            # Without a photo it would be a white square. Of no size when the photo comes, it would show it beside.
            # Gradio's editor shows the brushes in this order, and begins with the first.
            brush = gr.Brush(colors=[(f"rgb{colour}", OPACITY) for colour in BRUSHES.values()], color_mode="fixed")
            self._editor = gr.ImageEditor(label="Paint here", brush=brush, visible=False, elem_id="editor", **_EDITOR)
        self._screen = gr.Dropdown(
            ["auto", "green", "blue"],
            value="auto",
            allow_custom_value=True,
            label=f"{LABELS['key']}: auto, green, blue, or a colour such as #00b140",
            visible=False,
            elem_id="screen",
        )
        with gr.Column(visible=False) as self._filing:
            self._file = gr.File(label="Mask file", elem_id="source", **picture)
        with gr.Column(visible=False) as self._band:
            label = f"{LABELS['unknown_width']}, on each side of the edge"
            self._unit = gr.Radio(_UNITS, value=AUTOMATIC, label=label, elem_id="unit")
            self._width = gr.Slider(1, WIDEST_BAND, Band().value, step=1, label="Width", visible=False, elem_id="width")
            self._adaptive = gr.Checkbox(False, label="Widen for hair and other fine edges", elem_id="adaptive")
        with gr.Column(visible=False) as self._meaning:
            self._threshold = gr.Textbox(label=f"{LABELS['mask_threshold']}, such as 128 or 50%", elem_id="threshold")
            self._labels = gr.Textbox(label=f"{LABELS['mask_labels']}, such as 7 or 7, 9", elem_id="labels")
        label = LABELS["trimap_encoding"]
        self._encoding = gr.Dropdown(_ENCODINGS, value="exact", label=label, visible=False, elem_id="encoding")
        gr.Markdown("## 3 · Cut out")
        self._run = gr.Button("Cut out", variant="primary", size="lg", elem_id="run")
        gr.Markdown("### New background (optional; the Cut-out download stays transparent)")
        with gr.Row(equal_height=True):
            self._colour = gr.ColorPicker(COLOUR, label="Colour", elem_id="colour", min_width=120, scale=1)
            self._behind = gr.File(label="or an image", elem_id="behind", min_width=240, scale=3, **picture)
        self._again = gr.Button("Apply new background", size="sm", interactive=False, elem_id="again")

    def _outputs(self) -> None:
        """Make the right column: the pictures and the downloads."""
        gr.Markdown("## Result", elem_id="result")
        with gr.Tabs():
            with gr.Tab("Compare"):
                name = "Photo and new background"
                self._slider = gr.ImageSlider(label=name, slider_position=25, elem_id="slider", **_SHOWN)
            pictures = {"cutout": "Cut-out", "alpha": "Alpha", "trimap": "Trimap"}
            self._pictures = {}
            for name, label in pictures.items():
                with gr.Tab(label):
                    self._pictures[name] = gr.Image(label=label, elem_id=f"shown-{name}", **_SHOWN)
                    if name == "trimap":
                        gr.Markdown(_LEGEND)
        self._summary = gr.Markdown("", elem_id="summary")
        gr.Markdown("### Download (same size and bit depth as the photo)")
        with gr.Row():
            self._downloads = {
                name: gr.DownloadButton(label, interactive=False, size="sm", min_width=90, elem_id=f"download-{name}")
                for name, label in _FILES.items()
            }

    def _connect(self) -> None:
        """Say which component starts what, one job at a time however many pages are open."""
        outputs = [self._slider, *self._pictures.values(), *self._downloads.values(), self._summary, self._again]
        behind = [self._colour, self._behind]
        reading = [self._kind, self._width, self._adaptive, self._encoding, self._threshold, self._labels, self._unit]
        reading.append(self._screen)
        inputs = [self._photo, self._editor, self._file, *behind, *reading]
        one = {"concurrency_id": "studio", "concurrency_limit": 1, "api_visibility": "private"}
        parts = [self._painting, self._filing, self._band, self._meaning, self._encoding, self._screen, self._how]
        # Beside the studio's jobs, which may take minutes: what is chosen shows at once.
        aside = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        self._kind.change(self._show_kind, self._kind, [*parts, self._file], **aside)
        self._unit.change(lambda unit: gr.update(visible=unit != AUTOMATIC), self._unit, self._width, **aside)
        shown = [self._editor, self._first]
        self._photo.upload(None, None, None, js=f"() => {_CLEAR}", api_visibility="private")
        loaded = self._photo.upload(self._show_photo, self._photo, shown, **one)
        for event in (loaded.success, self._kind.input):
            event(None, self._kind, None, js=_TAKE_BRUSH, api_visibility="private")
        self._photo.clear(self._show_none, None, shown, **aside)
        self.blocks.load(None, None, None, js=_CLOSE_PALETTE, api_visibility="private")
        filled = [self._photo, self._kind, self._file, self._encoding, *shown]
        example = self._example.click(self._fill_example, None, filled, **one)
        long = one | {"show_progress_on": self._slider}
        for event in (self._run.click, example.success):
            event(None, None, None, js=_BEGIN, api_visibility="private")
            done = event(self._cut_out, inputs, [self._token, *outputs], **long)
            # What an earlier job made would pass for the result of this one.
            done.failure(self._nothing, None, [self._token, *outputs], **one)
        self._again.click(None, None, None, js=_BEGIN, api_visibility="private")
        self._again.click(self._put_behind, [self._token, *behind], outputs, **long)

    def _show_kind(self, kind: str) -> list[Any]:
        """Show the parts of the page that belong to what was chosen."""
        painting = True if kind in ("paint", "box") else "hidden"  # which keeps what was painted
        of_files, banded = kind in ("mask", "trimap"), kind not in ("paint", "trimap")
        visible = (painting, of_files, banded, kind == "mask", kind == "trimap", kind == "key")
        how = gr.update(value=_HOW_BOX if kind == "box" else _HOW)
        file = gr.update(label="Trimap file" if kind == "trimap" else "Mask file")
        return [*(gr.update(visible=each) for each in visible), how, file]

    def _show_photo(self, photo: str) -> list[Any]:
        """Return what the editor and the hint before it hold where a photo was loaded."""
        with self._told():
            return [gr.update(value=self._studio.look(photo), visible=True), gr.update(visible=False)]

    def _show_none(self) -> list[Any]:
        """Return what the editor and the hint before it hold without a photo."""
        return [gr.update(value=None, visible=False), gr.update(visible=True)]

    def _fill_example(self) -> list[Any]:
        """Return the example's photo and trimap as if somebody had uploaded and chosen them."""
        folder = self._folder / "example"
        folder.mkdir(exist_ok=True)
        image, trimap = (str(shutil.copy(path, folder)) for path in (EXAMPLE_IMAGE, EXAMPLE_TRIMAP))
        return [image, "trimap", trimap, "exact", *self._show_photo(image)]

    def _cut_out(
        self,
        photo: str | None,
        painted: dict[str, Any] | None,
        path: str | None,
        colour: str,
        image: str | None,
        *reading: Any,
        progress: Any = gr.Progress(),
    ) -> list[Any]:
        """Do what is asked for, and return what the outputs hold then. reading: as `Source.of` takes it."""

        def tell(step: JobProgress) -> None:
            progress((step.done, step.total) if step.total else (1, 1), WORDS[step.what], unit="patches")

        with self._told():
            source = Source.of(painted, path, *reading)
            token, matted, results = self._studio.cut_out(photo, source, colour, image, tell)
        if not matted.anything_unknown:
            gr.Warning("No soft edge is marked, so the edge will be hard. Paint hair or fur blue.")
        if matted.failure is not None:
            gr.Warning(html.escape(f"{self._as_uploaded(matted.failure)}. The alpha can still be downloaded."))
        return [token, *self._shown(results), matted.summary, gr.update(interactive=matted.failure is None)]

    def _nothing(self) -> list[Any]:
        """Return what the outputs hold where there is no result."""
        files = [gr.update(value=None, interactive=False) for _ in self._downloads]
        return [None, None, *(None for _ in self._pictures), *files, "", gr.update(interactive=False)]

    def _put_behind(self, token: str | None, colour: str, image: str | None) -> list[Any]:
        """Return what the outputs hold with another background behind the same cut-out."""
        with self._told():
            results = self._studio.put_behind(token, colour, image)
        return [*self._shown(results), gr.update(), gr.update()]

    def _shown(self, results: Results) -> list[Any]:
        """Return what slider, tabs and downloads hold; the button of a file that could not be made is disabled."""
        made, shown = results.files, results.shown
        # A button without its file stays, so that people see what could be there.
        files = [gr.update(value=made.get(name), interactive=name in made) for name in self._downloads]
        pictures = [shown.get(name) for name in self._pictures]
        after = shown.get("background", shown["photo"])
        return [(shown["photo"], after), *pictures, *files]

    def _as_uploaded(self, text: str) -> str:
        """Return a message in one line, with the names that files were uploaded under."""
        return " ".join(re.sub(rf"{re.escape(str(self._folder))}/(\S+/)*", "", text).split())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Show a failure as one line on the page, naming files as they were uploaded."""
        try:
            yield
        except LiteMattingError as error:
            said = in_words_of_the_page(self._as_uploaded(str(error)))
            # A message may begin with the name of a file, which stays as it is.
            said = said if str(error).startswith(str(self._folder)) else said[:1].upper() + said[1:]
        except MemoryError:
            said = "Out of memory; use a smaller photo"
        else:
            return
        raise gr.Error(html.escape(said), duration=None, print_exception=False, title="Something went wrong")

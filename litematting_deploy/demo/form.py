"""The page's components: the form at the left, and the result at the right."""

import importlib
from typing import Any

from ..images.suffixes import READ_SUFFIXES
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..matting.unknown_band import Band
from .source import AUTOMATIC, BRUSHES, LABELS, OPACITY, PERCENT, PIXELS

# Gradio gives its components their events at run time, which a type checker does not see.
gr: Any = importlib.import_module("gradio")

COLOUR = "#2f6f73"
WIDEST_BAND = 100
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
_BOX_STROKE = "circle the subject, or draw one diagonal across it; the box around your stroke is shown in green"
_HOW_BOX = (
    f"{_key(UNKNOWN, _BOX_STROKE)}"
    f"{_key(FOREGROUND, 'optional: what is certainly subject')}{_key(BACKGROUND, 'optional: certainly background')}\n\n"
    f"Green and red help where subject and background have similar colours. {_PALETTE}"
)
_LEGEND = (
    "A trimap says where the subject is sure, where the background is sure, and what is estimated between them "
    "(magenta). Outside the cyan line is sure background, inside the white line sure subject. Yellow line: where the "
    "mask is half sure. Green: the box."
)


def _classes(*kinds: str) -> list[str]:
    """Return the classes of a part that is shown where one of these ways of marking the subject is chosen."""
    return ["part", *(f"for-{kind}" for kind in kinds)]


def _part(*kinds: str) -> Any:
    """Return a column that is shown where one of these ways of marking the subject is chosen.

    The style sheet hides the others. An event that did so would go through the server: its answer comes late, and may
    be lost or undone by the answer to another event.
    """
    return gr.Column(elem_classes=_classes(*kinds))


class Form:
    """The components, one attribute each; they are made in the `gr.Row` that is open."""

    def __init__(self, segmenter: bool) -> None:
        """Make the components. segmenter: whether a network that finds subjects can be chosen."""
        with gr.Column():
            self._inputs(segmenter)
        with gr.Column():
            self._outputs()

    def _inputs(self, segmenter: bool) -> None:
        """Make the left column: the photo, its trimap and the new background."""
        gr.Markdown("## 1 · Photo")
        picture = {"file_types": list(READ_SUFFIXES), "height": 140}
        self.photo = gr.File(label="Photo", elem_id="photo", **picture)
        self.example = gr.Button("Try the example (a dandelion)", size="sm", elem_id="example")
        gr.Markdown("## 2 · Mark the subject")
        choices = [*_CHOICES[:3], _SEGMENTER, *_CHOICES[3:]] if segmenter else _CHOICES
        self.kind = gr.Radio(choices, value="paint", show_label=False, container=False, elem_id="kind")
        with _part("paint", "box"):
            gr.Markdown(_HOW, elem_classes=_classes("paint"))
            gr.Markdown(_HOW_BOX, elem_classes=_classes("box"))
            self.first = gr.Markdown("**Load a photo first.**")
            # Hidden until a photo is loaded: empty, it is a white square, and without a size it misplaces the photo.
            # Gradio's editor shows the brushes in this order, and begins with the first.
            brush = gr.Brush(colors=[(f"rgb{colour}", OPACITY) for colour in BRUSHES.values()], color_mode="fixed")
            self.editor = gr.ImageEditor(label="Paint here", brush=brush, visible=False, elem_id="editor", **_EDITOR)
        with _part("key"):
            label = f"{LABELS['key']}: auto, green, blue, or a colour such as #00b140"
            colours = {"choices": ["auto", "green", "blue"], "value": "auto", "allow_custom_value": True}
            self.screen = gr.Dropdown(label=label, elem_id="screen", **colours)
        with _part("mask", "trimap"):
            self.file = gr.File(label="Mask or trimap file", elem_id="source", **picture)
        with _part("box", "key", "segmenter", "mask"):
            label = f"{LABELS['unknown_width']}, on each side of the edge"
            self.unit = gr.Radio(_UNITS, value=AUTOMATIC, label=label, elem_id="unit")
            self.width = gr.Slider(1, WIDEST_BAND, Band().value, step=1, label="Width", elem_id="width")
            self.adaptive = gr.Checkbox(False, label="Widen for hair and other fine edges", elem_id="adaptive")
        with _part("mask"):
            self.threshold = gr.Textbox(label=f"{LABELS['mask_threshold']}, such as 128 or 50%", elem_id="threshold")
            self.labels = gr.Textbox(label=f"{LABELS['mask_labels']}, such as 7 or 7, 9", elem_id="labels")
        with _part("trimap"):
            label = LABELS["trimap_encoding"]
            self.encoding = gr.Dropdown(_ENCODINGS, value="exact", label=label, elem_id="encoding")
        gr.Markdown("## 3 · Cut out")
        self.run = gr.Button("Cut out", variant="primary", size="lg", elem_id="run")
        gr.Markdown("### New background (optional; the Cut-out download stays transparent)")
        with gr.Row(equal_height=True):
            self.colour = gr.ColorPicker(COLOUR, label="Colour", elem_id="colour", min_width=120, scale=1)
            self.behind = gr.File(label="or an image", elem_id="behind", min_width=240, scale=3, **picture)
        self.again = gr.Button("Apply new background", size="sm", interactive=False, elem_id="again")

    def _outputs(self) -> None:
        """Make the right column: the pictures and the downloads."""
        gr.Markdown("## Result", elem_id="result")
        with gr.Tabs():
            with gr.Tab("Compare"):
                name = "Photo and new background"
                self.slider = gr.ImageSlider(label=name, slider_position=25, elem_id="slider", **_SHOWN)
            pictures = {"cutout": "Cut-out", "alpha": "Alpha", "trimap": "Trimap"}
            self.pictures = {}
            for name, label in pictures.items():
                with gr.Tab(label):
                    self.pictures[name] = gr.Image(label=label, elem_id=f"shown-{name}", **_SHOWN)
                    if name == "trimap":
                        gr.Markdown(_LEGEND)
        self.summary = gr.Markdown("", elem_id="summary")
        gr.Markdown("### Download (same size and bit depth as the photo)")
        with gr.Row():
            self.downloads = {
                name: gr.DownloadButton(label, interactive=False, size="sm", min_width=90, elem_id=f"download-{name}")
                for name, label in _FILES.items()
            }

"""The page: what happens when its components are used. All work is done by the studio."""

import contextlib
import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LiteMattingError
from ..jobs.progress import WORDS, JobProgress
from ..matting.trimap import FOREGROUND, UNKNOWN
from ..runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP
from .form import HOW, HOW_BOX, Form, gr
from .source import AUTOMATIC, BRUSHES, Source, in_words_of_the_page
from .studio import Results, Studio

TITLE = "LiteMatting: cut hair, fur and smoke out of a photo"
KEPT_S = 2 * 3600
"""Uploads and results are deleted that long after, and all of them when the server ends."""
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
# The box of blue strokes, over the photo, as they are drawn. What zooms or moves the photo, and the eraser, would leave
# it in the wrong place: from there on it is not shown, until the canvas is cleared.
_SHOW_BOX = f"""() => {{
  let strokes = [], undone = [], stroke = null, stale = false;
  const editor = () => document.getElementById('editor');
  const button = (label) => editor()?.querySelector(`button[aria-label="${{label}}"]`);
  const shown = Object.assign(document.createElement('div'), {{id: 'box'}});
  const show = () => {{
    const blue = [...strokes, stroke].filter(Boolean);
    const isBox = document.querySelector('#kind input:checked')?.value === 'box';
    shown.hidden = stale || !isBox || !blue.length;
    if (shown.hidden) return;
    const [left, top] = [0, 1].map((each) => Math.min(...blue.map((one) => one[each])));
    const [right, bottom] = [2, 3].map((each) => Math.max(...blue.map((one) => one[each])));
    const style = {{left, top, width: right - left, height: bottom - top}};
    for (const name in style) shown.style[name] = style[name] + 'px';
    editor().append(shown);
  }};
  const at = (event) => {{
    const place = editor().getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top];
  }};
  const loses = () => {{ stale ||= strokes.some(Boolean); show(); }};
  const clear = () => {{ [strokes, undone, stroke, stale] = [[], [], null, false]; show(); }};
  let drawing = false;
  document.addEventListener('pointerdown', (event) => {{
    if (!event.target.closest?.('#editor canvas')) return;
    if (!button('Brush')?.classList.contains('highlight')) return loses();
    drawing = true;
    stroke = button('Color')?.style.color === 'rgb{BRUSHES[UNKNOWN]}' ? [...at(event), ...at(event)] : null;
  }}, true);
  document.addEventListener('pointermove', (event) => {{
    if (!stroke) return;
    const [x, y] = at(event);
    stroke = [Math.min(stroke[0], x), Math.min(stroke[1], y), Math.max(stroke[2], x), Math.max(stroke[3], y)];
    show();
  }}, true);
  document.addEventListener('pointerup', () => {{
    if (drawing) strokes.push(stroke);
    [drawing, stroke, undone] = [false, null, drawing ? [] : undone];
    show();
  }}, true);
  document.addEventListener('click', (event) => {{
    const pressed = event.target.closest?.('#editor button, #kind, #photo');
    if (!pressed) return;
    if (pressed.id === 'photo' || pressed.ariaLabel === 'Clear canvas') clear();
    else if (pressed.ariaLabel === 'Undo' && strokes.length) undone.push(strokes.pop());
    else if (pressed.ariaLabel === 'Redo' && undone.length) strokes.push(undone.pop());
    else if (/zoom|%|fit/i.test((pressed.ariaLabel ?? '') + pressed.innerText)) return loses();
    setTimeout(show, 50);
  }}, true);
  document.addEventListener('wheel', (event) => {{ if (event.target.closest?.('#editor canvas')) loses(); }}, true);
  window.addEventListener('resize', loses);
}}"""
_BOX_LINE_PX, _BRUSH_PX = 12, 25
"""The diameter of the brush for a box, on the screen; and Gradio's own radius, in pixels of the photo."""
# A box is drawn in blue and with a thin brush, and nobody looks for these first. Another brush from the server would
# take the photo away. The editor comes a moment after the photo, and the palette and the slider of the size a moment
# after they are asked for: on a busy machine, a second. How large the photo is shown is settled only then, too.
_TAKE_BRUSH = f"""(kind) => {{
  const find = (selector) => document.querySelector('#editor ' + selector);
  const colour = kind === 'box' ? 'rgb{BRUSHES[UNKNOWN]}' : 'rgb{BRUSHES[FOREGROUND]}';
  const turn = window.brushTurn = (window.brushTurn ?? 0) + 1;
  const percent = () => [...document.querySelectorAll('#editor button')].map((each) => parseInt(each.innerText));
  const zoom = () => percent().find(Boolean) ?? 100;
  const takeSize = (tries, seen, steady) => {{
    const slider = find('input[type=range]');
    if (turn !== window.brushTurn || tries >= 300) return;
    if (slider) {{
      slider.value = kind === 'box' ? Math.max(1, Math.round({_BOX_LINE_PX * 50} / zoom())) : {_BRUSH_PX};
      slider.dispatchEvent(new Event('input', {{bubbles: true}}));
      document.body.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}}));
      window.brushTaken = kind;
      return;
    }}
    if (steady > 0 && steady % 10 === 0) find('button[aria-label="Brush Size"]')?.click();
    setTimeout(() => takeSize(tries + 1, zoom(), zoom() === seen ? steady + 1 : 0), 100);
  }};
  const take = (tries) => {{
    const palette = find('button[aria-label=Color]'), swatch = find(`button.color[style*="${{colour}}"]`);
    if (turn !== window.brushTurn) return;
    if (palette?.style.color === colour) return takeSize(0, 0, 0);
    if (swatch) swatch.click();
    else if (tries % 10 === 0 && find('button[aria-label=Undo]')) {{
      find('button[aria-label=Brush]').click();
      palette?.click();
    }}
    if (tries < 300) setTimeout(() => take(tries + 1), 100);
  }};
  take(0);
}}"""


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
                self._form = Form(studio.segmenter is not None)
            self._token = gr.State(None)
            self._connect()
        self.blocks.queue(max_size=20, default_concurrency_limit=1, api_open=False)

    def _connect(self) -> None:
        """Say which component starts what, one job at a time however many pages are open."""
        form = self._form
        outputs = [form.slider, *form.pictures.values(), *form.downloads.values(), form.summary, form.again]
        behind = [form.colour, form.behind]
        reading = [form.kind, form.width, form.adaptive, form.encoding, form.threshold, form.labels, form.unit]
        reading.append(form.screen)
        inputs = [form.photo, form.editor, form.file, *behind, *reading]
        one = {"concurrency_id": "studio", "concurrency_limit": 1, "api_visibility": "private"}
        parts = [form.painting, form.filing, form.band, form.meaning, form.encoding, form.screen, form.how]
        # Beside the studio's jobs, which may take minutes: what is chosen shows at once.
        aside = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        form.kind.change(self._show_kind, form.kind, [*parts, form.file], **aside)
        form.unit.change(lambda unit: gr.update(visible=unit != AUTOMATIC), form.unit, form.width, **aside)
        shown = [form.editor, form.first]
        form.photo.upload(None, None, None, js=f"() => {_CLEAR}", api_visibility="private")
        loaded = form.photo.upload(self._show_photo, form.photo, shown, **one)
        for event in (loaded.success, form.kind.input):
            event(None, form.kind, None, js=_TAKE_BRUSH, api_visibility="private")
        form.photo.clear(self._show_none, None, shown, **aside)
        for script in (_CLOSE_PALETTE, _SHOW_BOX):
            self.blocks.load(None, None, None, js=script, api_visibility="private")
        filled = [form.photo, form.kind, form.file, form.encoding, *shown]
        example = form.example.click(self._fill_example, None, filled, **one)
        long = one | {"show_progress_on": form.slider}
        for event in (form.run.click, example.success):
            event(None, None, None, js=_BEGIN, api_visibility="private")
            done = event(self._cut_out, inputs, [self._token, *outputs], **long)
            # What an earlier job made would pass for the result of this one.
            done.failure(self._nothing, None, [self._token, *outputs], **one)
        form.again.click(None, None, None, js=_BEGIN, api_visibility="private")
        form.again.click(self._put_behind, [self._token, *behind], outputs, **long)

    def _show_kind(self, kind: str) -> list[Any]:
        """Show the parts of the page that belong to what was chosen."""
        painting = True if kind in ("paint", "box") else "hidden"  # which keeps what was painted
        of_files, banded = kind in ("mask", "trimap"), kind not in ("paint", "trimap")
        visible = (painting, of_files, banded, kind == "mask", kind == "trimap", kind == "key")
        how = gr.update(value=HOW_BOX if kind == "box" else HOW)
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
        files = [gr.update(value=None, interactive=False) for _ in self._form.downloads]
        return [None, None, *(None for _ in self._form.pictures), *files, "", gr.update(interactive=False)]

    def _put_behind(self, token: str | None, colour: str, image: str | None) -> list[Any]:
        """Return what the outputs hold with another background behind the same cut-out."""
        with self._told():
            results = self._studio.put_behind(token, colour, image)
        return [*self._shown(results), gr.update(), gr.update()]

    def _shown(self, results: Results) -> list[Any]:
        """Return what slider, tabs and downloads hold; the button of a file that could not be made is disabled."""
        made, shown = results.files, results.shown
        # A button without its file stays, so that people see what could be there.
        files = [gr.update(value=made.get(name), interactive=name in made) for name in self._form.downloads]
        pictures = [shown.get(name) for name in self._form.pictures]
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

"""The page: what happens when its components are used. All work is done by the studio."""

import contextlib
import html
import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import LiteMattingError
from ..jobs.progress import WORDS, JobProgress
from ..matting.trimap import FOREGROUND, UNKNOWN
from ..runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP
from .form import Form, gr
from .source import BRUSHES, Source, in_words_of_the_page
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
_COLOURS = {"box": f"rgb{BRUSHES[UNKNOWN]}", "other": f"rgb{BRUSHES[FOREGROUND]}"}
_SCRIPTS = (Path(str(files("litematting_deploy"))) / "assets" / "demo.js").read_text(encoding="utf-8")


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
        aside = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        shown = [form.editor, form.first]
        form.photo.upload(None, None, None, js="() => page.clearMessages()", api_visibility="private")
        loaded = form.photo.upload(self._show_photo, form.photo, shown, **one)
        for event in (loaded.success, form.kind.input):
            event(None, form.kind, None, js="(kind) => page.takeBrush(kind)", api_visibility="private")
        form.photo.clear(self._show_none, None, shown, **aside)
        scripts = f"() => {{ window.page = ({_SCRIPTS})({json.dumps(_COLOURS)}); }}"
        self.blocks.load(None, None, None, js=scripts, api_visibility="private")
        filled = [form.photo, form.kind, form.file, form.encoding, *shown]
        example = form.example.click(self._fill_example, None, filled, **one)
        long = one | {"show_progress_on": form.slider}
        for event in (form.run.click, example.success):
            event(None, None, None, js="() => page.showResult()", api_visibility="private")
            done = event(self._cut_out, inputs, [self._token, *outputs], **long)
            # What an earlier job made would pass for the result of this one.
            done.failure(self._nothing, None, [self._token, *outputs], **one)
        form.again.click(None, None, None, js="() => page.showResult()", api_visibility="private")
        form.again.click(self._put_behind, [self._token, *behind], outputs, **long)

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

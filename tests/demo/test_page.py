"""The page in a real browser, from the photo to what is downloaded."""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Download,
    Locator,
    Page,
    Request,
    ViewportSize,
    expect,
)
from playwright.sync_api import (
    TimeoutError as LateError,
)

from litematting_deploy import Matter, make_trimap
from litematting_deploy.images.background import Background
from litematting_deploy.images.decode import decode
from litematting_deploy.images.encode import write_image
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_photo
from litematting_deploy.matting.composite import composite_picture, cutout_picture
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.matting.trimap import from_mask
from litematting_deploy.matting.unknown_band import Band
from tests.demo.conftest import Served
from tests.segmentation.scenes import before_screen, save

PATIENCE_MS = 180_000
TRIES = 5
pytestmark = pytest.mark.slow

WIDE = ViewportSize(width=1280, height=1250)
NARROW = ViewportSize(width=390, height=844)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOUR = "#2f6f73"
FOREGROUND, UNKNOWN, BACKGROUND = "rgb(0, 200, 80)", "rgb(40, 90, 255)", "rgb(235, 40, 40)"


@pytest.fixture
def page(demo: Served, browser: Browser) -> Iterator[Page]:
    """An open page, of which everything asked for is on this server, and which the policy refuses nothing."""
    context = browser.new_context(viewport=WIDE, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    asked: list[str] = []
    refused: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            refused.append(message.text)

    def see(request: Request) -> None:
        asked.append(request.url)

    page.on("console", hear)
    page.on("request", see)
    page.goto(demo.address)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    yield page
    context.close()
    assert len(asked) > 10
    assert {urlsplit(url).netloc for url in asked if urlsplit(url).scheme not in ("data", "blob")} == {demo.host}
    assert not refused


def choose(page: Page, element: str, path: Path) -> None:
    page.set_input_files(f"#{element} input[type=file]", path)
    page.wait_for_selector(f"#{element} .file-preview")


def zoom_button(page: Page) -> Locator:
    """The button of the editor that says how large the photo is shown, as 180%."""
    return page.locator("#editor").get_by_role("button", name=re.compile(r"^\d+%$")).first


def fit(page: Page) -> None:
    """Let the editor show the whole photo: how large it does by itself depends on how much of the page was there."""
    # The photo comes from the server. What is done before that is undone by it: it closes the menu, and zooms anew.
    expect(page.locator("#editor button[aria-label=Undo]")).to_be_enabled()
    whole = page.get_by_role("button", name="Fit to screen")
    for _ in range(3):  # a menu that opens while the page is still being laid out may close at once
        if not whole.is_visible():  # else a click would close the menu
            zoom_button(page).click()
        whole.click()
        page.wait_for_timeout(500)


def stroke(page: Page, colour: str, points: list[tuple[float, float]]) -> None:
    """Paint along points in parts of the photo's width and height."""
    chosen = page.locator(f"#editor button.color[style*='{colour}']")
    for _ in range(TRIES):
        page.click("#editor button[aria-label=Color]")
        with contextlib.suppress(LateError):  # an answer of the page that comes now closes the palette
            chosen.click(timeout=5000)
            break
    else:
        pytest.fail(f"no colour {colour} could be chosen")
    expect(page.locator("#editor button.color").first).to_be_hidden()  # else it would cover the photo
    draw(page, points)


def draw(page: Page, points: list[tuple[float, float]]) -> None:
    """Paint in the present colour; points as `stroke` has them."""
    canvas = page.locator("#editor canvas").first.bounding_box()
    assert canvas is not None
    zoom = int(zoom_button(page).inner_text().removesuffix("%")) / 100
    assert zoom > 1, "a photo of 300x200 pixels fills the editor"
    width, height = 300 * zoom, 200 * zoom
    left, top = canvas["x"] + (canvas["width"] - width) / 2, canvas["y"] + (canvas["height"] - height) / 2
    at = [(left + width * x, top + height * y) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=2)
    page.mouse.up()


def cut_out(page: Page) -> None:
    page.click("#run")
    page.wait_for_selector("#slider img")
    expect(page.locator("#download-alpha")).to_be_enabled()


def downloaded(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(f"#download-{name}")
    download: Download = waiting.value
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def pixels(page: Page, selector: str) -> NDArray[np.uint8]:
    """A picture on the page, as it came over the wire."""
    address = page.locator(selector).last.get_attribute("src")
    assert address is not None
    with Image.open(io.BytesIO(page.request.get(address).body())) as picture:
        return np.asarray(picture.convert("RGB"))


def test_paint_run_see_and_download(page: Page, deep_photo: Path, mean_onnx: Path, tmp_path: Path) -> None:
    choose(page, "photo", deep_photo)
    fit(page)
    stroke(page, UNKNOWN, [(0.2, 0.3), (0.8, 0.3)])
    stroke(page, FOREGROUND, [(0.3, 0.5), (0.7, 0.5)])
    stroke(page, BACKGROUND, [(0.5, 0.2), (0.5, 0.8)])
    cut_out(page)
    expect(page.locator("#summary")).to_contain_text("300×200")
    files = {name: downloaded(page, name, tmp_path) for name in ("alpha", "cutout", "background", "trimap")}
    assert files["alpha"].name.endswith("_alpha.png")

    trimap = read_trimap(files["trimap"])
    assert trimap.shape == (200, 300)
    assert set(np.unique(trimap)) == {0, 128, 255}
    at = {(60, 90): 128, (60, 210): 128, (100, 120): 255, (100, 190): 255, (60, 150): 0, (100, 150): 0, (150, 30): 0}
    assert {point: int(trimap[point]) for point in at} == at

    photo = read_photo(deep_photo)
    with Matter.load(mean_onnx, refine=True) as matter:
        alpha = matter(photo.network, trimap)
    colours = estimate_foreground(photo, alpha)
    levels = {name: decode(path, 1) for name, path in files.items()}
    assert {name: decoded.levels.dtype.name for name, decoded in levels.items()} == {
        **dict.fromkeys(("alpha", "cutout", "background"), "uint16"),
        "trimap": "uint8",
    }
    expected = cutout_picture(photo, colours, alpha, np.uint16, premultiplied=False)
    np.testing.assert_array_equal(levels["alpha"].levels, expected[:, :, 3])
    assert levels["cutout"].alpha is not None
    np.testing.assert_array_equal(levels["cutout"].alpha, expected[:, :, 3])
    visible = expected[:, :, 3] > 256
    np.testing.assert_array_equal(levels["cutout"].levels[visible], expected[visible, :3])
    behind = composite_picture(photo, colours, alpha, Background(COLOUR), np.uint16)
    np.testing.assert_array_equal(levels["background"].levels, behind)

    after = pixels(page, "#slider img")
    assert after.shape == (200, 300, 3)
    assert np.abs(after.astype(int) - (behind >> 8)).max() <= 1
    assert (after != photo.network).any()


def test_a_diagonal_is_a_box(page: Page, deep_photo: Path, tmp_path: Path) -> None:
    """The first stroke makes it: the brush is blue. What went wrong before the photo came is no longer said."""
    expect(page.locator("#editor")).to_have_count(0)
    page.click("#run")
    expect(page.locator(".toast-body").first).to_contain_text("No photo yet")
    choose(page, "photo", deep_photo)
    expect(page.locator(".toast-body")).to_have_count(0)
    page.get_by_label("Draw a box").check()
    expect(page.locator("#editor button[aria-label=Color]")).to_have_attribute("style", re.compile(re.escape(UNKNOWN)))
    fit(page)
    draw(page, [(0.25, 0.2), (0.75, 0.8)])
    canvas, drawn = (page.locator(name).first.bounding_box() for name in ("#editor canvas", "#box"))
    assert canvas is not None
    assert drawn is not None
    zoom = int(zoom_button(page).inner_text().removesuffix("%")) / 100
    assert (drawn["width"] / zoom, drawn["height"] / zoom) == pytest.approx((150, 120), abs=4)
    assert drawn["x"] + drawn["width"] / 2 == pytest.approx(canvas["x"] + canvas["width"] / 2, abs=4)
    page.click("#editor button[aria-label=Undo]")
    expect(page.locator("#box")).to_be_hidden()
    page.click("#editor button[aria-label=Redo]")
    expect(page.locator("#box")).to_be_visible()
    cut_out(page)
    trimap = read_trimap(downloaded(page, "trimap", tmp_path))
    assert (trimap[:20] == 0).all()
    assert (trimap == 128).any()
    page.get_by_role("tab", name="Trimap").click()
    page.wait_for_selector("#shown-trimap img")
    rows, columns = np.nonzero((pixels(page, "#shown-trimap img") == (0, 235, 60)).all(axis=2))
    # From (75, 40) to (225, 160), and the radius of the brush around that.
    assert 10 <= rows.min() <= 40
    assert 225 <= columns.max() <= 255


def test_the_example_in_one_click_refuses_what_is_over_the_limit(page: Page) -> None:
    """The example has three megapixels, this server takes half of one: the page says so, in a line, without a path."""
    page.click("#example")
    told = page.locator(".toast-body").first
    expect(told).to_contain_text("dandelion.jpg: 2400x1350 is 3.24 megapixels, over the limit of 0.5")
    assert "/" not in told.inner_text()


def test_mask_band_and_another_background(page: Page, deep_photo: Path, tmp_path: Path) -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 100:200] = 255
    write_image(tmp_path / "mask.png", mask)
    choose(page, "photo", deep_photo)
    page.get_by_label("Use a mask").check()
    choose(page, "source", tmp_path / "mask.png")
    page.get_by_label("pixels", exact=True).check()
    page.locator("#width input[type=number]").fill("7")
    page.locator("#width input[type=number]").blur()
    cut_out(page)
    trimap = read_trimap(downloaded(page, "trimap", tmp_path))
    rows = np.flatnonzero(trimap[:, 150] == 128)
    np.testing.assert_array_equal(rows, [*range(43, 57), *range(143, 157)])
    before = pixels(page, "#slider img")

    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:20] = (250, 10, 10)
    write_image(tmp_path / "sky.png", picture)
    choose(page, "behind", tmp_path / "sky.png")
    first = page.locator("#slider img").last.get_attribute("src")
    page.click("#again")
    expect(page.locator("#slider img").last).not_to_have_attribute("src", first or "")
    after = pixels(page, "#slider img")
    np.testing.assert_array_equal(after[100, 150], before[100, 150])
    assert after[10, 10].tolist() == [250, 10, 10]
    assert after[190, 290].tolist() == [0, 0, 0]


def test_a_screen_and_a_segmenter_on_wide_and_narrow_pages(demo: Served, page: Page, tmp_path: Path) -> None:
    """Each makes the trimap that a Python program gets; wrong colours are told."""
    photo = save(tmp_path / "screen.png", before_screen())
    choose(page, "photo", photo)
    colour, summary = page.locator("#screen input"), page.locator("#summary")
    ways: list[tuple[str, dict[str, Any]]] = [
        ("Green or blue screen", {"key": "#46ac59"}),
        ("Use a segmentation network", {"segmenter": demo.cwd.parent / "red.onnx"}),
    ]
    for way, arguments in ways:
        page.get_by_label(way).check()
        expect(page.locator("#editor")).to_be_hidden()
        if "key" in arguments:
            colour.fill("purple")
            colour.press("Enter")
            page.click("#run")
            told = page.locator(".toast-body").first
            expect(told).to_contain_text("Screen colour must be green, blue, auto or a colour such as #00b140")
            page.locator(".toast-close").first.click()
            colour.fill(str(arguments["key"]))
            colour.press("Enter")
        else:
            expect(colour).to_be_hidden()
        page.click("#run")
        wanted = make_trimap(photo, **arguments)
        expect(summary).to_contain_text(f"{np.mean(wanted == 128):.1%} of the pixels are unknown")
        np.testing.assert_array_equal(read_trimap(downloaded(page, "trimap", tmp_path)), wanted)
        assert set(np.unique(wanted)) == {0, 128, 255}
        page.set_viewport_size(NARROW)
        page.wait_for_timeout(300)
        assert page.evaluate(OVERFLOW) == 0
        if folder := os.environ.get("LTM_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{way}.png", full_page=True)
        page.set_viewport_size(WIDE)


@pytest.mark.heavy
def test_failures_are_lines_on_the_page(page: Page, deep_photo: Path, tmp_path: Path) -> None:
    def said(*words: str) -> None:
        toast = page.locator(".toast-body").first
        for word in words:
            expect(toast).to_contain_text(word)
        assert not re.search(r"Traceback|ltm-demo-", toast.inner_text())
        page.locator(".toast-close").first.click()
        expect(page.locator(".toast-body")).to_have_count(0)

    page.click("#run")
    said("No photo yet")
    (tmp_path / "text.png").write_text("no picture")
    choose(page, "photo", tmp_path / "text.png")
    said("text.png: cannot be read as an image")
    page.locator("#photo button[aria-label=Clear]").click()
    choose(page, "photo", deep_photo)
    fit(page)
    page.click("#run")
    said("Nothing is painted")
    page.get_by_label("Use a trimap").check()
    page.click("#run")
    said("No trimap yet")
    write_image(tmp_path / "small.png", np.zeros((20, 30), np.uint8))
    choose(page, "source", tmp_path / "small.png")
    page.click("#run")
    said("small.png: is 30x20", "is 300x200")


def test_the_server_speaks_to_nobody(demo: Served, page: Page) -> None:
    """Whatever ran before on it: it connected to itself at most. Its working folder is empty."""
    assert page.locator("#run").is_enabled()
    lines = demo.connections.read_text().splitlines()
    assert not [line for line in lines if not re.search(r"127\.0\.0\.1|localhost|::1", line)]
    assert not list(demo.cwd.iterdir())
    assert json.loads(page.request.get(f"{demo.address}config").text())["analytics_enabled"] is False


def test_on_a_phone(page: Page, tmp_path: Path) -> None:
    """Nothing lies outside 390 pixels; the result comes into view, with a band in percent; a failure clears it."""
    page.set_viewport_size(NARROW)
    picture = np.tile(np.arange(120, dtype=np.uint8)[:, None, None], (1, 160, 3))
    write_image(tmp_path / "photo.png", picture)
    mask = np.zeros((120, 160), np.uint8)
    mask[40:80, 60:100] = 255
    write_image(tmp_path / "mask.png", mask)
    page.wait_for_timeout(500)
    assert page.evaluate(OVERFLOW) == 0
    choose(page, "photo", tmp_path / "photo.png")
    page.get_by_label("Use a mask").click()
    choose(page, "source", tmp_path / "mask.png")
    page.get_by_label("% of the subject's size").click()
    page.locator("#width input[type=number]").fill("10")
    page.locator("#width input[type=number]").press("Tab")
    page.wait_for_timeout(300)
    assert page.evaluate(OVERFLOW) == 0
    page.click("#run")
    page.wait_for_selector("#summary >> text=unknown")
    # The square root of 40 x 40 pixels is 40, a tenth of it 4 on each side of an edge of 40.
    share = float(re.search(r"([\d.]+)% of the pixels", page.inner_text("#summary"))[1])  # type: ignore[index]
    band = np.asarray(from_mask(mask, Band(10, percent=True), photo=None) == 128)
    assert share == pytest.approx(100 * band.mean(), abs=0.1)
    in_view = f"document.getElementById('result').getBoundingClientRect().top < {NARROW['height'] - 200}"
    page.wait_for_function(in_view)  # at the top, where so much is below it
    assert page.evaluate("document.getElementById('result').getBoundingClientRect().top") > -50
    assert page.evaluate(OVERFLOW) == 0
    if folder := os.environ.get("LTM_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/phone.png", full_page=True)
    page.locator("#labels textarea, #labels input").first.fill("seven")
    page.click("#run")
    page.wait_for_selector("text=Class ids must be numbers")
    expect(page.locator("#download-alpha")).to_be_disabled()
    assert page.locator("#slider img").count() == 0
    assert "unknown" not in page.inner_text("body").partition("Result")[2].partition("Trimap")[2]

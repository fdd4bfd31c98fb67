"""A browser, for the tests of pages."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (  # what Chromium does by itself is not the page's
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one its tests are skipped, or fail where LTM_NEEDS_BROWSER says so."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        reason = f"none of {', '.join(CHROMIUM)} is installed: apt-get install chromium"
        if os.environ.get("LTM_NEEDS_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()

"""Makes demo.png, the picture of the page: the example, cut out with the shipped weights."""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PATIENCE_MS = 300_000


def main() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("ltm-demo"), "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 920})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            page.click("#example")
            page.wait_for_selector("#download-alpha:not([disabled])")
            page.wait_for_selector("#slider img")
            page.mouse.move(5, 5)
            page.wait_for_timeout(3000)  # for the pictures to be drawn
            page.screenshot(path=Path(__file__).with_name("demo.png"), full_page=True)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()

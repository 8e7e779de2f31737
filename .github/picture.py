"""The README's pictures of the page and of its chart, light and dark: ``.venv/bin/python .github/picture.py``.

Needs the tests' requirements and Chromium, as the tests of the page do.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 1180}


@contextmanager
def page_running():
    """``python demo.py`` on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "demo.py"], cwd=HERE.parent,
                               env={**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)})
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(120):
            with suppress(OSError):
                urllib.request.urlopen(address).close()
                break
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    chromium = shutil.which("chromium")
    with page_running() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(f"{address}/?tab=unfold&example=dog&block=3&layer=2&token=5.6")
            page.get_by_role("tab", name="Unfold", selected=True).wait_for()
            page.locator(".network-drawing .figure > svg").wait_for()
            page.wait_for_timeout(1500)  # what moves stands still
            page.screenshot(path=HERE / f"page-{scheme}.png")
            page.goto(f"{address}/?tab=efficiency")
            page.locator("#efficiency svg").wait_for()
            page.wait_for_timeout(1500)
            page.locator("#efficiency svg").screenshot(path=HERE / f"chart-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()

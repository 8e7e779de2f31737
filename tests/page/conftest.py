"""The page as a visitor has it: the real server, a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from mvit.data.examples import example_files
from mvit.page import checkpoints
from mvit.storage.files import CHECKPOINTS, ROOT
from mvit.storage.records import find_checkpoints

REFERENCE = CHECKPOINTS / "reference"
SHIPPED = find_checkpoints()  # the first is what the page begins with
CHROMIUM = shutil.which("chromium")
DESKTOP = {"width": 1200, "height": 900}


@pytest.fixture(scope="package")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """The examples of the page, by name."""
    return {path.stem: path for path in map(Path, example_files())}


@pytest.fixture(scope="package")
def uploads_folder(tmp_path_factory) -> Path:
    """Where the server keeps what was uploaded."""
    return tmp_path_factory.mktemp("uploads")


@contextmanager
def running(log: Path, *before: str, options: tuple[str, ...] = (), **variables: str):
    """``python demo.py`` on a free port, in a session of its own, what it says in a file: (address, process)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", **variables}
    begin = time.monotonic()
    with open(log, "w") as stream:
        process = subprocess.Popen([*before, sys.executable, "demo.py", *options], cwd=ROOT, env=environment,
                                   stdout=stream, stderr=stream, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        while not answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - begin < 60
            time.sleep(0.1)
        print(f"ready after {time.monotonic() - begin:.1f} s")
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="package")
def log(tmp_path_factory) -> Path:
    """What the server says."""
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="package")
def served(log, uploads_folder):
    """The page that the tests share; its address and its process."""
    with running(log, GRADIO_TEMP_DIR=str(uploads_folder)) as (address, process):
        yield address, process
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="package")
def server(served):
    return served[0]


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="package")
def chromium():
    """Begins a browser in one of these ways: ``launch``, ``launch_persistent_context``."""
    if CHROMIUM is None:
        reason = "there is no chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    how = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]}
    with sync_playwright() as playwright:
        yield lambda way, *given, **more: getattr(playwright.chromium, way)(*given, **how, **more)


@pytest.fixture(scope="package")
def browser(chromium):
    """For visitors who come for the first time."""
    browser = chromium("launch")
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def visitor(chromium, tmp_path_factory):
    """Somebody who comes again and again, and whose browser keeps what it has fetched and compiled: of a page that is
    opened without a profile on disk Chromium compiles all anew, in most of the time that opening it takes."""
    context = chromium("launch_persistent_context", tmp_path_factory.mktemp("profile"), viewport=DESKTOP)
    yield context
    context.close()


@contextmanager
def window(visitor, width: int = DESKTOP["width"], height: int = DESKTOP["height"], scheme: str = "light"):
    """A window of this size, in light or in dark."""
    page = visitor.new_page()
    page.set_default_timeout(10_000)
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    try:
        yield page
    finally:
        page.close()


@pytest.fixture(scope="package")
def watched(visitor, server):
    """A window, and what goes wrong in it: what it asks of other hosts, what it is refused, every error."""
    foreign, refused, errors = [], [], []
    own = (server, "data:", "blob:", "about:")
    with window(visitor) as page:
        page.on("request", lambda request: request.url.startswith(own) or foreign.append(request.url))
        page.on("response", lambda response: response.status >= 400 and refused.append(response))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        yield page, foreign, refused, errors


@pytest.fixture
def page(watched, server, log):
    """The page, opened; whatever goes wrong in it fails the test."""
    page, foreign, refused, errors = watched
    for found in (foreign, refused, errors):
        found.clear()
    page.goto(server)
    page.get_by_text("Drop Image Here").wait_for()
    page.get_by_role("button", name="ship", exact=True).wait_for()
    page.wait_for_function("window.mvit?.following")  # what it is given when it is opened is there
    yield page
    wrong = errors + [in_words(response) for response in refused]  # the console's error names no address and no words
    assert foreign == []
    assert not wrong, "\n".join([*wrong, "The server's last words:", log.read_text()[-1000:]])
    page.goto("about:blank")
    page.context.clear_permissions()


def in_words(response) -> str:
    """A response, what was asked, and what was answered, for the message of a test that fails."""
    from playwright.sync_api import Error

    asked = response.request
    try:
        answer = response.text()
    except Error as error:  # the page was left meanwhile
        answer = str(error)
    return f"{asked.method} {asked.url} {(asked.post_data or '')[:500]}\n{response.status} {answer[:500]}"


@contextmanager
def slow_line(page, milliseconds: int = 500):
    """Every answer takes so long at least."""
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {"offline": False, "latency": milliseconds, "uploadThroughput": -1,
                                                   "downloadThroughput": -1})
    try:
        yield
    finally:
        line.detach()  # ends what it has set


def upload(page, file):
    page.locator("input[type=file]").first.set_input_files(file)


def wait_for_answer(page, name: str) -> None:
    page.wait_for_function("name => document.querySelector('[data-testid=label-output-value]')?.innerText.trim()"
                           " == name", arg=name, timeout=15_000)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> str:
    """The name of a copy of the reference weights that the page offers."""
    copy = tmp_path / "weights"
    shutil.copytree(REFERENCE, copy)
    monkeypatch.setattr(checkpoints, "begun_with", [copy])
    return copy.name

"""The page as a visitor has it: the real server, a real browser; and its endpoint as a program has it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

import demo
from mvit import CheckpointError, MobileViT
from mvit.examples import EXAMPLES, example_files
from mvit.picture import load_picture

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "checkpoints" / "reference"
CHROMIUM = shutil.which("chromium")

# --------------------------------------------------------------------------- what the handlers do


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """The examples of the page, by name."""
    return {path.stem: path for path in map(Path, example_files())}


def test_most_examples_are_classified_rightly(drawn):
    """The shipped weights name these; the tower is none of the ten and is not among them."""
    classifier = demo.load_classifier(REFERENCE)
    right = {name for name in EXAMPLES if classifier(load_picture(drawn[name])).best[0] == name}
    assert len(EXAMPLES) >= 5
    assert right == set(EXAMPLES)
    assert "tower" in drawn
    assert "tower" not in classifier.model.config.class_names


def test_classify_reports_a_bad_file_in_the_page(tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    label, seen, remark = demo.classify(str(tmp_path / "cat.png"), str(REFERENCE))
    assert (label, seen) == (None, None)
    assert "not a picture" in remark
    assert demo.classify(None, str(REFERENCE)) == (None, None, demo.WELCOME)


def test_classify_reports_a_bad_checkpoint_in_the_page(drawn, tmp_path):
    label, _, remark = demo.classify(str(drawn["tower"]), str(tmp_path))
    assert label is None
    assert "Cannot load" in remark


def test_a_refreshed_checkpoint_is_picked_up(tmp_path, tiny):
    folder = tmp_path / "weights"
    MobileViT(tiny).save_pretrained(folder)
    first = demo.load_classifier(folder)
    assert demo.load_classifier(folder) is first
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert demo.load_classifier(folder) is not first
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        demo.load_classifier(folder)


def test_remarks():
    def answer(confidence, right):
        reliability = {"confidence_from": 0.4, "confidence_to": 0.5, "images": 1234, "accuracy": right}
        return demo.Answer({"cat": confidence, "dog": 1 - confidence}, None, 2.5, reliability if right else None)

    sure, unsure = demo.remark(answer(0.9, 0.97), 10), demo.remark(answer(0.9, 0.4), 10)
    assert "Not sure" not in sure
    assert "**97%** of 1,234" in sure
    assert "Not sure" in unsure
    assert "Not sure" in demo.remark(answer(0.55, None), 10)
    assert "2.5 ms" in sure


def test_checkpoints_are_found_the_preferred_first(tmp_path):
    for name in ("a", "reference", "strong", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "no-checkpoint").mkdir()
    assert [path.name for path in demo.find_checkpoints(tmp_path)] == ["strong", "reference", "a"]


def test_a_checkpoint_that_cannot_be_used_ends_in_one_line(tmp_path, capsys):
    assert demo.main(["--checkpoint", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# --------------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def server():
    """``python demo.py`` on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    address = f"http://127.0.0.1:{port}"
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "demo.py"], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        while not answers(address):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() - begin < 60
            time.sleep(0.1)
        print(f"ready after {time.monotonic() - begin:.1f} s")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def test_endpoint(server, drawn, tmp_path):
    from gradio_client import Client, exceptions, handle_file

    client = Client(server, verbose=False)
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == ["/classify"]
    result = client.predict(handle_file(drawn["ship"]), api_name="/classify")
    assert result["label"] == "ship"
    assert len(result["confidences"]) == 10
    assert sum(item["confidence"] for item in result["confidences"]) == pytest.approx(1, abs=1e-4)
    expected = demo.load_classifier(REFERENCE)(load_picture(drawn["ship"])).best[1]
    assert result["confidences"][0]["confidence"] == pytest.approx(expected, abs=1e-5)
    deep = tmp_path / "deep.png"  # 16 bits of grey: gr.Image itself would clip it to white
    Image.new("I;16", (32, 32), 20_000).save(deep)
    grey = Image.new("RGB", (32, 32), (78, 78, 78))
    expected = demo.load_classifier(REFERENCE)(grey).best
    assert client.predict(handle_file(deep), api_name="/classify")["label"] == expected[0]
    (tmp_path / "cat.png").write_text("not a cat")
    with pytest.raises(exceptions.AppError, match="not a picture"):
        client.predict(handle_file(tmp_path / "cat.png"), api_name="/classify")
    assert client.predict(handle_file(drawn["ship"]), api_name="/classify")["label"] == "ship"  # nothing died


# --------------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        reason = "there is no chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """The page, opened; whatever it asks of other hosts, or says in the console as an error, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    foreign, errors = [], []
    own = (server, "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(own) or foreign.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server)
    page.get_by_label("Your picture").first.wait_for()
    yield page
    context.close()
    assert foreign == []
    assert errors == []


def upload(page, file):
    page.locator("input[type=file]").first.set_input_files(file)


def answer(page) -> str:
    return page.get_by_test_id("label-output-value").inner_text(timeout=15_000).strip()


def test_upload_a_picture_and_read_the_answer(page, drawn):
    upload(page, drawn["ship"])
    assert answer(page) == "ship"
    assert page.get_by_text(re.compile(r"The network took .* ms")).is_visible()
    seen = page.locator("#seen img")
    source = seen.get_attribute("src")
    assert source.endswith(".png")  # lossless
    assert seen.get_attribute("alt")
    assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [320, 320]


def test_open_an_example(page):
    page.get_by_role("button", name=re.compile("frog")).click()
    page.wait_for_function("document.querySelector('[data-testid=label-output-value]')?.innerText.trim() == 'frog'")


def test_a_text_file_called_cat_png(page, drawn, tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    upload(page, tmp_path / "cat.png")
    page.get_by_text("not a picture that can be read").wait_for()
    assert page.get_by_test_id("label-output-value").count() == 0
    page.get_by_label("Clear").first.click()
    upload(page, drawn["ship"])  # and the page goes on
    assert answer(page) == "ship"


def test_the_page_fits_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(server)
    page.get_by_label("Your picture").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_evaluation_that_is_shipped_belongs_to_the_weights_that_are():
    """Of the outcome that the project promises, the parts that need no images."""
    history = json.loads((REFERENCE / "history.json").read_text())
    evaluation = json.loads((REFERENCE / "evaluation.json").read_text())
    assert len(history) == 20
    assert history[-1]["train_accuracy"] >= 0.8694
    assert evaluation["accuracy"] == history[-1]["test_accuracy"]
    assert sum(map(sum, evaluation["confusion_matrix"])) == evaluation["images"] == 10_000

"""The page as a visitor has it: the real server, a real browser; and its endpoint as a program has it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import demo
from mvit import CheckpointError, MobileViT
from mvit.benchmark.measuring import count_flops, count_parameters
from mvit.data.examples import EXAMPLES, example_files
from mvit.data.pictures import load_picture
from mvit.page.crowd import BUSY, app_options
from mvit.page.uploads import NOT_UPLOADED, UNFIT
from mvit.training.settings import RECIPES, Settings
from tests.data.hostile import HURTS

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "checkpoints" / "reference"
SHIPPED = demo.find_checkpoints()  # the first is what the page begins with
CHROMIUM = shutil.which("chromium")

# --------------------------------------------------------------------------- what the handlers do


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """The examples of the page, by name."""
    return {path.stem: path for path in map(Path, example_files())}


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.name)
def test_most_examples_are_classified_rightly(drawn, checkpoint):
    """The shipped weights name these; the tower is none of the ten and is not among them."""
    classifier = demo.load_classifier(checkpoint)
    right = {name for name in EXAMPLES if classifier(load_picture(drawn[name])).best[0] == name}
    assert len(EXAMPLES) >= 5
    assert right == set(EXAMPLES)
    assert "tower" in drawn
    assert "tower" not in classifier.model.config.class_names


def test_the_page_reports_a_bad_file_in_the_page(tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    label, shown, remark, pixels = demo.show_answer(str(tmp_path / "cat.png"), str(REFERENCE))
    assert (label, shown) == (None, None)
    assert "not a picture" in remark
    assert pixels == demo.gr.skip()  # the Unfold tab keeps its picture
    assert demo.show_answer(None, str(REFERENCE)) == (None, None, demo.WELCOME, demo.gr.skip())


def test_the_page_reports_a_bad_checkpoint_in_the_page(drawn, tmp_path):
    label, _, remark, _ = demo.show_answer(str(drawn["tower"]), str(tmp_path))
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


def test_handlers_that_need_the_same_new_weights_at_once_share_them(tmp_path, tiny):
    MobileViT(tiny).save_pretrained(tmp_path / "weights")
    with ThreadPoolExecutor(8) as pool:
        classifiers = list(pool.map(lambda _: demo.load_classifier(tmp_path / "weights"), range(8)))
    assert len({id(classifier) for classifier in classifiers}) == 1


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


def test_a_figure_s_file_is_whole_while_others_make_the_same(tmp_path):
    figure = Image.effect_noise((640, 640), 90)
    file = Path(demo.figure_file(figure, tmp_path))
    size, sizes, done = file.stat().st_size, set(), threading.Event()

    def watch():
        while not done.is_set():
            sizes.add(len(file.read_bytes()))

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        assert {*pool.map(lambda _: demo.figure_file(figure, tmp_path), range(40))} == {str(file)}
        done.set()
        watcher.result()
    assert sizes == {size}
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert Image.open(file).tobytes() == figure.tobytes()


def test_checkpoints_are_found_the_preferred_first(tmp_path):
    for name in ("a", "reference", "b", ".hidden", "strong"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "no-checkpoint").mkdir()
    assert [path.name for path in demo.find_checkpoints(tmp_path)] == ["strong", "reference", "a", "b"]


def test_a_checkpoint_that_cannot_be_used_ends_in_one_line(tmp_path, capsys):
    assert demo.main(["--checkpoint", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# --------------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """``python demo.py`` on a free port; its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    address = f"http://127.0.0.1:{port}"
    begin = time.monotonic()
    log = tmp_path_factory.mktemp("server") / "log"
    with open(log, "w") as stream:
        process = subprocess.Popen([sys.executable, "demo.py"], cwd=ROOT, env=environment, stdout=stream, stderr=stream)
    try:
        while not answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - begin < 60
            time.sleep(0.1)
        print(f"ready after {time.monotonic() - begin:.1f} s")
        yield address, process
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def server(served):
    return served[0]


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
    expected = demo.load_classifier(SHIPPED[0])(load_picture(drawn["ship"])).best[1]
    assert result["confidences"][0]["confidence"] == pytest.approx(expected, abs=1e-5)
    deep = tmp_path / "deep.png"  # 16 bits of grey: gr.Image itself would clip it to white
    Image.new("I;16", (32, 32), 20_000).save(deep)
    grey = Image.new("RGB", (32, 32), (78, 78, 78))
    expected = demo.load_classifier(SHIPPED[0])(grey).best
    assert client.predict(handle_file(deep), api_name="/classify")["label"] == expected[0]
    (tmp_path / "cat.png").write_text("not a cat")
    with pytest.raises(exceptions.AppError, match="not a picture"):
        client.predict(handle_file(tmp_path / "cat.png"), api_name="/classify")
    assert client.predict(handle_file(drawn["ship"]), api_name="/classify")["label"] == "ship"  # nothing died


def classify(address: str, value: object) -> str:
    """What the endpoint says of a value that is sent as it is."""
    request = urllib.request.Request(f"{address}/gradio_api/call/classify", json.dumps({"data": [value]}).encode(),
                                     {"Content-Type": "application/json"})
    event = json.load(urllib.request.urlopen(request, timeout=10))["event_id"]
    answer = urllib.request.urlopen(f"{address}/gradio_api/call/classify/{event}", timeout=10).read().decode()
    return json.loads(answer.split("data: ", 1)[1].splitlines()[0]).get("error", answer)


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def uploads():
    """A folder below that of the uploads; in it what nobody can have uploaded."""
    import gradio

    cache = Path(gradio.utils.get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        os.mkfifo(Path(folder) / "pipe")
        (Path(folder) / "link.png").symlink_to(example_files()[0])
        (Path(folder) / "loop").symlink_to(Path(folder) / "loop")
        yield Path(folder)


@pytest.mark.parametrize("meta", [{}, META], ids=["bare", "meta"])
def test_a_file_is_read_only_if_it_was_uploaded(server, uploads, drawn, meta):
    """The same words for all, so that nobody learns what there is."""
    for path in (str(drawn["ship"]), "/etc/passwd", "/etc/none", "/proc/self/fd/1", "demo.py", "../main/demo.py", "\0",
                 f"{uploads}/../../../etc/passwd", str(uploads), *(f"{uploads}/{name}" for name in (
                     "pipe", "link.png", "loop", "none.png", 300 * "a")),
                 "http://127.0.0.1:9/cat.png", "file:///etc/passwd", 3, True, ["/etc/passwd"], {"path": "/etc/passwd"}):
        assert classify(server, {"path": path, **meta}) == NOT_UPLOADED, path
    assert classify(server, {"picture": {"path": "/etc/passwd", **meta}}) == NOT_UPLOADED


def test_a_request_without_a_picture(server):
    for value in (None, {}, {"url": "http://127.0.0.1:9/cat.png"}, {"path": None}, {"path": ""}, META):
        assert "no picture" in classify(server, value), value


def test_a_request_that_does_not_fit_is_refused(server):
    for value in ([], [None], 3, 0.5, True, "/etc/passwd", "", {"path": "cat.png", "meta": []}, {"url": 5}):
        assert classify(server, value) in (UNFIT, NOT_UPLOADED), value


def test_a_picture_that_never_ends_is_refused(server, tmp_path):
    from gradio_client import Client, exceptions, handle_file

    (tmp_path / "slow.ppm").write_bytes(HURTS["PPM with a comment of 20 MB"]())
    client = Client(server, verbose=False)
    with pytest.raises(exceptions.AppError, match="too long"):
        client.predict(handle_file(tmp_path / "slow.ppm"), api_name="/classify")


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
    """The page, opened; whatever it asks of other hosts, and every error in it, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    foreign, errors = [], []
    own = (server, "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(own) or foreign.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(server)
    page.get_by_text("Drop Image Here").wait_for()
    page.get_by_role("button", name="ship").wait_for()
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
    assert seen.evaluate("async image => { await image.decode()  // it may still be on its way\n"
                         "return [image.naturalWidth, image.naturalHeight] }") == [320, 320]


def test_open_an_example(page):
    page.get_by_role("button", name="frog").click()
    page.wait_for_function("document.querySelector('[data-testid=label-output-value]')?.innerText.trim() == 'frog'")


def test_a_text_file_called_cat_png(page, drawn, tmp_path):
    page.get_by_role("button", name="dog").click()  # an example before it changes nothing
    page.wait_for_function("document.querySelector('[data-testid=label-output-value]')?.innerText.trim() == 'dog'")
    page.get_by_label("Remove Image").first.click()
    (tmp_path / "cat.png").write_text("not a cat")
    upload(page, tmp_path / "cat.png")
    page.get_by_text("not a picture that can be read").wait_for()
    assert page.get_by_test_id("label-output-value").count() == 0
    page.get_by_label("Remove Image").first.click()
    upload(page, drawn["ship"])  # and the page goes on
    assert answer(page) == "ship"


@pytest.mark.parametrize("tab", ["classify", "unfold", "efficiency", "training"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_links_open_a_tab_which_fits_a_phone(browser, server, tab, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(f"{server}/?tab={tab}")
    page.get_by_role("tab", name=tab.capitalize(), selected=True).wait_for()
    page.wait_for_function("window.followTabs")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.url.endswith(f"?tab={tab}")
    page.get_by_role("tab", name="Training").click()
    page.wait_for_function("location.search == '?tab=training'")
    context.close()


# --------------------------------------------------------------------------- many visitors, and slow lines


def load(address: str, mode: str, visitors: int, requests: int, pid: int) -> dict:
    """The report of tests/load.py."""
    command = [sys.executable, "tests/load.py", address, "--mode", mode, "--visitors", str(visitors),
               "--requests", str(requests), "--pid", str(pid)]
    report = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout)
    print(report)
    return report


def test_thirty_who_open_the_page_at_once_have_all_of_it_soon(served):
    address, process = served
    report = load(address, "open", visitors=30, requests=30, pid=process.pid)
    assert (report["answers"], report["errors"]) == (30, {})
    assert report["longest_s"] < 10  # the aim is 5 on an idle machine; a test machine seldom is


@pytest.mark.parametrize(("mode", "requests"), [("page", 200), ("api", 600)])
def test_a_crowd_is_answered_and_leaves_little_memory_behind(served, mode, requests):
    address, process = served
    report = load(address, mode, visitors=20, requests=requests, pid=process.pid)
    assert (report["answers"], report["errors"]) == (requests, {})
    assert report["p95_s"] < 3
    # 540 calls take 130 MB where each leaves a state, and 60 where 300 of them do; tests/load.py shows it in thousands.
    memory = report["memory_mb"]
    assert memory["end"] is None or memory["end"] < memory["warm"] + 100


@pytest.mark.parametrize("kilobytes", [50, 200])
def test_an_early_click_on_a_slow_line_is_answered(browser, server, kilobytes):
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)  # what a browser keeps
    page.get_by_role("button", name="ship").wait_for()
    line = context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {"offline": False, "latency": 100, "uploadThroughput": -1,
                                                   "downloadThroughput": 1000 * kilobytes})
    page.goto(server, wait_until="commit")
    page.get_by_role("button", name="ship").click()
    page.wait_for_function("document.querySelector('[data-testid=label-output-value]')?.innerText.trim() == 'ship'",
                           timeout=15_000)
    context.close()


def test_who_comes_when_the_page_is_busy_is_told_so(browser):
    with demo.gr.Blocks() as page:
        words = demo.gr.Textbox()
        demo.gr.Button("now").click(str, words, words, queue=False)
        demo.gr.Button("in turn").click(str, words, words, api_name="queued")
        page.load(None, js=demo.SHOW_ERRORS)
    page.queue(max_size=0)
    page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", app_kwargs=app_options(most=0))
    try:
        visitor = browser.new_page()
        visitor.goto(page.local_url)
        visitor.get_by_role("button", name="now").click()
        visitor.get_by_role("alert").filter(has_text=BUSY).wait_for(timeout=10_000)
        request = urllib.request.Request(f"{page.local_url}gradio_api/call/queued", b'{"data": [""]}',
                                         {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        assert refused.value.code == 503
        assert json.load(refused.value)["detail"] == BUSY
        visitor.close()
    finally:
        page.close()


# --------------------------------------------------------------------------- see inside


def open_free_mode(page):
    page.get_by_role("tab", name="Unfold").click()
    page.get_by_role("tab", name="Free mode").click()
    page.locator("#attention img").wait_for()


def click_and_wait(page, where, row, column, of):
    """Click a place in a figure; the seconds until the figure of attention is another."""
    image = page.locator(f"{where} img")
    box = image.bounding_box()
    before = page.locator("#attention img").evaluate("image => image.src")
    begin = time.monotonic()
    image.click(position={"x": (column + 0.5) * box["width"] / of, "y": (row + 0.5) * box["height"] / of})
    page.wait_for_function("before => { const image = document.querySelector('#attention img');"
                           "return image.src != before && image.complete }", arg=before)
    return time.monotonic() - begin


def test_click_a_place_and_see_what_it_looks_at(page):
    open_free_mode(page)
    at = tuple(int(page.get_by_role("spinbutton", name=re.compile(f"number input for {name}")).input_value()) - 1
               for name in ("Row", "Column"))
    places = [place for place in ((1, 2), (6, 7), (3, 0), (7, 1), (0, 5)) if place != at]  # there, nothing changes
    times = [click_and_wait(page, "#attention", row, column, 8) for row, column in places]
    print("seconds from click to picture:", [f"{seconds:.3f}" for seconds in times])
    assert sorted(times)[1] < 0.6  # the aim is 0.3 on an idle machine; a test machine seldom is
    page.get_by_text("The framed place (row 1, column 6)").wait_for()
    click_and_wait(page, "#grid", 4, 4, 8)
    page.get_by_text("The framed place (row 5, column 5)").wait_for()


def test_of_quick_clicks_the_last_counts(page):
    """Each that is sent is another; one may be lost in the moment in which the browser changes the figure."""
    open_free_mode(page)
    click_and_wait(page, "#attention", 2, 5, 8)
    click_and_wait(page, "#attention", 6, 1, 8)  # by now all figures are there, and nothing moves
    sent = []

    def note(request):
        data = request.post_data_json if "/run/" in request.url else {}
        if data.get("event_data"):
            sent.append(data["event_data"]["index"])

    page.on("request", note)
    box = page.locator("#attention img").bounding_box()
    for place in (1, 3, 5, 6):  # by the mouse itself: a locator's click takes longer than the answer to the one before
        page.mouse.click(*(box[start] + (place + 0.5) * box["width"] / 8 for start in ("x", "y")))
        page.wait_for_timeout(30)
    page.wait_for_timeout(1500)  # nor does an earlier one come later
    assert len(sent) > 1
    assert len({tuple(place) for place in sent}) == len(sent)
    column, row = (int(pixel * 8 / demo.SIZE) + 1 for pixel in sent[-1])
    page.get_by_text(f"The framed place (row {row}, column {column})").wait_for()


@pytest.mark.parametrize(("typed", "row"), [("-3", 1), ("99", 8), ("2.6", 3), ("", 1)])
def test_a_row_that_is_none_is_taken_as_the_nearest(page, typed, row):
    open_free_mode(page)
    click_and_wait(page, "#attention", 4, 2, 8)
    box = page.get_by_role("spinbutton", name=re.compile("Row"))
    box.fill(typed)
    box.press("Enter")
    page.get_by_text(f"The framed place (row {row}, column 3)").wait_for()


def test_choose_block_layer_head_and_place_by_keyboard(page):
    open_free_mode(page)
    page.get_by_role("radio", name="1", exact=True).first.check()  # the first block
    page.get_by_text("16 × 16 × 32 → 4 × 64 × 32 → 16 × 16 × 32").wait_for()
    page.get_by_label("all (rollout)").check()
    row = page.get_by_role("spinbutton", name=re.compile("Row"))
    row.fill("2")
    row.press("Enter")
    page.get_by_text("The framed place (row 2,").wait_for()
    page.get_by_label("all places").check()
    page.get_by_text("on average over all that could look at it").wait_for()


def test_clicks_while_the_block_changes_are_answered(page):
    """They arrive with the old block's choices, which the new one may not have."""
    open_free_mode(page)
    for block in (3, 2, 3, 2, 1):
        page.get_by_role("radio", name=str(block), exact=True).first.check()
        page.locator("#grid img").click(position={"x": 190, "y": 190 - 50 * block})
    page.get_by_text("16 × 16 × 32 → 4 × 64 × 32 → 16 × 16 × 32").wait_for()
    click_and_wait(page, "#attention", 1, 14, 16)
    page.get_by_text("The framed place (row 2, column 15)").wait_for()
    assert page.get_by_test_id("toast-body").count() == 0


def test_weights_that_are_switched_quickly_end_with_the_last_chosen(page, drawn):
    upload(page, drawn["ship"])
    answer(page)
    for name in ("reference", "strong", "reference", "strong", "reference"):
        page.get_by_label("Weights").click()
        page.get_by_role("option", name=name).click()
    page.get_by_role("tab", name="Training").click()
    page.get_by_role("img", name="accuracy by epoch, after 20 epochs").wait_for()
    confidence = demo.load_classifier(REFERENCE)(load_picture(drawn["ship"])).best[1]
    page.get_by_role("tab", name="Unfold").click()
    for title in demo.WALK[1:]:
        page.get_by_role("button", name="Next").locator("visible=true").click()
        page.get_by_role("heading", name=title).wait_for()
    page.get_by_text(f"the network says ship, {confidence:.0%}").wait_for()
    assert page.get_by_test_id("toast-body").count() == 0


def test_the_walk_goes_on_with_the_picture_that_was_classified(page, drawn):
    upload(page, drawn["ship"])
    answer(page)
    page.get_by_role("tab", name="Unfold").click()
    for words in ("that would be 4,096 comparisons", "numbers each: what is there", "positions, 4 colours",
                  "4 sequences of 16", "the framed one looks", "the network says ship"):
        page.get_by_text(words).wait_for()
        if words != "the network says ship":
            page.get_by_role("button", name="Next").locator("visible=true").click()
    page.get_by_role("button", name="Back").locator("visible=true").click()
    page.get_by_text("the framed one looks").wait_for()
    page.get_by_role("tab", name="Lens").click()
    assert page.locator("table.lens tbody tr").count() == 5
    assert "ship" in page.locator("table.lens tbody tr", has_text="its answer").inner_text()


def test_the_walk_by_keyboard(page):
    page.get_by_role("tab", name="Unfold").click()
    page.get_by_role("button", name="Next").locator("visible=true").focus()
    for title in demo.WALK[1:]:
        page.keyboard.press("Enter")
        page.get_by_role("heading", name=title).wait_for()
        page.wait_for_timeout(300)  # until the focus is on the new step's button
    page.get_by_text("after the last block the network says").wait_for()


# --------------------------------------------------------------------------- what it costs


def test_cancel_a_measurement_and_measure_on_this_machine_while_others_are_served(page):
    page.get_by_role("tab", name="Efficiency").click()
    chart = page.locator("#efficiency svg")
    chart.wait_for()
    before = chart.get_attribute("aria-label")
    measure, cancel = (page.get_by_role("button", name=name) for name in ("Measure on this machine", "Cancel"))

    measure.click()
    page.locator("progress").wait_for()
    cancel.click()
    page.get_by_text("Stopped.").wait_for(timeout=5000)
    assert chart.get_attribute("aria-label") == before

    measure.click()
    page.locator("progress").wait_for()
    page.get_by_role("tab", name="Classify").click()  # meanwhile others are served
    page.get_by_role("button", name="dog").click()
    page.wait_for_function("document.querySelector('[data-testid=label-output-value]')?.innerText.trim() == 'dog'")
    page.get_by_role("tab", name="Efficiency").click()
    page.get_by_text("Done: the chart shows this machine").wait_for(timeout=180_000)
    page.wait_for_function("before => document.querySelector('#efficiency svg').ariaLabel != before", arg=before)
    measured = chart.get_attribute("aria-label")
    for what in ("PNG", "SVG", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=what, exact=True).click()
        file = Path(download.value.path())
        if what == "JSON":
            models = json.loads(file.read_text())["models"]
            fps = max(m["fps"] for m in models if m["name"] == "MobileViT-XXS")
            assert f"MobileViT-XXS: {fps:.0f} FPS" in measured
        else:
            assert file.read_bytes()[:5] == {"PNG": b"\x89PNG\r", "SVG": b"<?xml"}[what]
    page.reload()  # for this visitor alone, and this visit
    page.get_by_role("tab", name="Efficiency", selected=True).wait_for()
    page.wait_for_function("label => document.querySelector('#efficiency svg')?.ariaLabel != label", arg=measured)


def test_two_visitors_do_not_measure_at_once(browser, server):
    first, second = (browser.new_page() for _ in range(2))
    for visitor in (first, second):
        visitor.goto(f"{server}/?tab=efficiency")
        visitor.get_by_role("button", name="Measure on this machine").click()
        visitor.get_by_text(re.compile("starting|preparing|Somebody is measuring")).wait_for()
    assert second.get_by_text("Somebody is measuring just now").is_visible()
    second.close()
    first.close()  # leaves in the middle
    third = browser.new_page()
    third.goto(f"{server}/?tab=efficiency")
    for _ in range(30):  # the server notices a visitor's leaving after some seconds
        third.get_by_role("button", name="Measure on this machine").click()
        third.get_by_text(re.compile("starting|preparing|Somebody is measuring")).wait_for()
        if third.locator("progress").is_visible():
            break
        third.wait_for_timeout(500)
    third.get_by_role("button", name="Cancel").click()
    third.get_by_text("Stopped.").wait_for()
    third.close()


def test_training_tab_shows_the_files_of_these_weights(page):
    page.get_by_role("tab", name="Training").click()
    last = json.loads((SHIPPED[0] / "history.json").read_text())[-1]
    label = page.get_by_role("img", name=re.compile("accuracy by epoch")).get_attribute("aria-label")
    assert f"train {last['train_accuracy']:.3f}" in label
    assert page.locator(".charts svg").count() == 4


def test_evaluation_that_is_shipped_belongs_to_the_weights_that_are():
    """Twenty epochs of the reference recipe, and the result of the weights that they ended with."""
    history = json.loads((REFERENCE / "history.json").read_text())
    evaluation = json.loads((REFERENCE / "evaluation.json").read_text())
    assert len(history) == 20
    assert history[-1]["train_accuracy"] >= 0.8694  # the published figure
    assert evaluation["accuracy"] == history[-1]["test_accuracy"]
    assert sum(map(sum, evaluation["confusion_matrix"])) == evaluation["images"] == 10_000


def test_the_strong_weights_are_what_their_files_say_and_within_bounds():
    strong = ROOT / "checkpoints" / "strong"
    history, test, validation, run, config = (json.loads((strong / f"{name}.json").read_text()) for name in (
        "history", "evaluation", "validation", "run", "config"))
    began = run["earlier"][run["settings"]["weights"]]["settings"]
    assert Settings(**began) == replace(RECIPES["strong"], processes=began["processes"])
    assert len(history) == began["epochs"] + run["settings"]["epochs"]
    assert history[-1]["validation_accuracy"] == pytest.approx(validation["accuracy"], abs=1e-6)
    assert (test["images"], validation["images"]) == (10_000, 2_000)
    assert "lossless" in validation["split"]
    assert test["accuracy"] > json.loads((REFERENCE / "evaluation.json").read_text())["accuracy"]
    assert config["temperature"] == test["temperature"]
    benchmark = json.loads((ROOT / "checkpoints" / "benchmark.json").read_text())
    assert benchmark["models"][0]["accuracy"] == test["accuracy"]
    assert validation["calibration_error"] < validation["calibration_error_at_temperature_1"] < 0.02
    # Fitted to the held-out images; where next to nothing was to be mended, others may lose next to nothing.
    assert test["calibration_error"] < test["calibration_error_at_temperature_1"] + 0.0001 < 0.02
    network = MobileViT.from_pretrained(strong)
    assert count_parameters(network) <= 444_999
    assert count_flops(network) <= 100e6

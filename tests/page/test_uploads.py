"""What a request may hold: only files that were uploaded, only values that fit."""

import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mvit.data.examples import example_files
from mvit.page.uploads import NOT_UPLOADED, UNFIT
from mvit.storage.files import ROOT
from tests.data.hostile import HURTS


def classify(address: str, value: object) -> str:
    """What the endpoint says of a value that is sent as it is."""
    request = urllib.request.Request(f"{address}/gradio_api/call/classify", json.dumps({"data": [value]}).encode(),
                                     {"Content-Type": "application/json"})
    event = json.load(urllib.request.urlopen(request, timeout=10))["event_id"]
    answer = urllib.request.urlopen(f"{address}/gradio_api/call/classify/{event}", timeout=10).read().decode()
    return json.loads(answer.split("data: ", 1)[1].splitlines()[0]).get("error", answer)


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def uploads(uploads_folder):
    """A folder below that of the uploads; in it what nobody can have uploaded."""
    with tempfile.TemporaryDirectory(dir=uploads_folder) as folder:
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


JUNK = [None, "x", -1, 10**400, float("nan"), [], {}, [[[]]], {"path": "/etc/passwd"}, "../../etc", True]


def send(address: str, event: object, to: str = "run/predict") -> tuple[int, str]:
    """An event of the page's as it is sent without a queue: the answer's status and words."""
    request = urllib.request.Request(f"{address}/gradio_api/{to}", json.dumps(event).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_events_that_no_page_sends_are_answered_in_words(server):
    """Values of the wrong type, too many or too few, clicks nowhere; the fixture looks for tracebacks in the log."""
    config = json.load(urllib.request.urlopen(f"{server}/config", timeout=10))
    for dependency in config["dependencies"]:
        inputs = len(dependency["inputs"])
        for number, junk in enumerate(JUNK):
            data = [junk] * (inputs + number % 3 - 1 if number > 6 else inputs)
            status, words = send(server, {"data": data, "fn_index": dependency["id"], "session_hash": "nobody",
                                          "event_data": JUNK[-number]})
            assert status < 500 or set(json.loads(words)) <= {"error", "detail", "title", "duration", "visible"}, words
            assert str(ROOT) not in words
    for event in ({}, {"data": []}, {"data": [], "fn_index": 10**6}, {"data": [], "fn_index": "x"}):
        assert send(server, event)[0] >= 400


def test_experiments_that_no_page_asks_for_are_answered_in_words(server):
    config = json.load(urllib.request.urlopen(f"{server}/config", timeout=10))
    (drawing,) = [component["id"] for component in config["components"] if component["props"].get("server_fns")]
    pixels, folder = next(values for values in (
        [component["props"].get("value") for component in config["components"] if component["id"] in event["inputs"]]
        for event in config["dependencies"]) if len(values) == 2 and all(isinstance(each, str) for each in values)
        and len(values[0]) > 4000)
    subject = {"pixels": pixels, "checkpoint": folder}
    asked = {"subject": subject, "change": {"uniform": [[0, 0]]}, "classes": [0, 1]}

    def experiment(data: object, **other: object) -> tuple[int, dict]:
        event = {"data": data, "component_id": drawing, "fn_name": "experiment", "session_hash": "nobody", **other}
        status, words = send(server, event, "component_server")
        assert str(ROOT) not in words
        return status, json.loads(words)

    assert len(experiment(asked)[1]["answer"]) == 2
    for junk in (*JUNK, *({**asked, name: value} for name in asked for value in JUNK),
                 *({**asked, "subject": {**subject, name: value}} for name in subject for value in JUNK)):
        if junk != {**asked, "change": {}} and junk != {**asked, "classes": []}:  # no experiment, but no error
            status, answer = experiment(junk)
            assert isinstance(answer.get("error"), str) and status in (200, 400), junk
    for other in ({"component_id": 10**6}, {"component_id": "x"}, {"fn_name": "postprocess"}, {"fn_name": None}):
        status, answer = experiment(asked, **other)
        assert 400 <= status < 500 and "Traceback" not in str(answer)


def test_what_goes_on_at_the_server_is_not_for_visitors(server):
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server}/monitoring", timeout=10)

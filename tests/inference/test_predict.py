"""python -m mvit.predict: many pictures to answers that a program can read."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from mvit import MobileViT
from mvit.commands.predict import main
from mvit.data.pictures import load_picture
from mvit.inference.classifier import Classifier
from mvit.inference.prediction import predict
from tests.data.hostile import HURTS

ROOT = Path(__file__).parent.parent.parent
NAMES = ("Löwe, jung", 'a "red" one', "日本")


@pytest.fixture
def checkpoint(tiny, tmp_path) -> Path:
    MobileViT(replace(tiny, class_names=NAMES, temperature=0.1)).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def pictures(tmp_path, folder) -> Path:
    """Four pictures of several shapes, at two depths, and three files that cannot be read."""
    root = tmp_path / "pictures"
    (root / "más").mkdir(parents=True)
    for i, size in enumerate(((32, 32), (60, 20), (7, 90))):
        Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20 + i).convert("RGB").save(root / f"{i}.png")
    Image.open(folder / "test" / "green" / "04.jpg").save(root / "más" / "ñ.jpg")
    (root / "bad.png").write_text("a cat")
    (root / "gone.jpg").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.png")
    return root


GOOD = ["0.png", "1.png", "2.png", "más/ñ.jpg"]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_answers_are_those_of_the_page(checkpoint, pictures, batch_size):
    classifier = Classifier(checkpoint)
    files = [str(pictures / name) for name in GOOD]
    predictions = list(predict(MobileViT.from_pretrained(checkpoint), files, 3, batch_size))
    assert [prediction.file for prediction in predictions] == files
    for prediction in predictions:
        expected = classifier(load_picture(prediction.file)).confidences
        assert dict(prediction.classes) == pytest.approx(expected, abs=1e-4)
        assert prediction.classes[0][0] == max(expected, key=expected.get)


def test_no_more_than_a_batch_is_read_before_its_answers_are_given(checkpoint, pictures):
    taken = count()
    endless = (str(pictures / GOOD[next(taken) % 3]) for _ in count())
    predictions = predict(MobileViT.from_pretrained(checkpoint), endless, batch_size=5)
    for _ in range(11):
        next(predictions)
    assert next(taken) == 15


def test_files_are_read_within_the_page_s_limits(checkpoint, tmp_path):
    """Read in this process, this file would take minutes."""
    (tmp_path / "slow.ppm").write_bytes(HURTS["PPM with a comment of 20 MB"]())
    Image.new("RGB", (3, 3)).save(tmp_path / "good.png")
    files = [str(tmp_path / "slow.ppm"), str(tmp_path / "good.png")]
    slow, good = predict(MobileViT.from_pretrained(checkpoint), files)
    assert "too long" in slow.problem and slow.classes == ()
    assert good.problem is None and len(good.classes) == 1


@pytest.mark.parametrize("how", ["", "--csv", "--json"])
def test_bad_files_are_named_on_stderr_and_passed_over(checkpoint, pictures, capsys, how):
    status = main([str(checkpoint), str(pictures), str(pictures / "missing.png"), *how.split()])
    out, err = capsys.readouterr()
    assert status == 1
    lines = err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        str(pictures / name) for name in ("bad.png", "gone.jpg", "pipe.png", "missing.png")]
    assert "not a picture" in lines[0] and "no such file" in lines[1] and "no file" in lines[2]
    assert all(str(pictures / name) in out for name in GOOD)
    assert "bad.png" not in out and "missing" not in out
    assert out.count("\n") == len(GOOD) + {"": 0, "--csv": 1, "--json": 2}[how]


def test_csv_and_json_say_what_the_text_says(checkpoint, pictures, capsys):
    files = [str(pictures / name) for name in GOOD]
    assert main([str(checkpoint), *files, "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert main([str(checkpoint), *files, "--top", "2", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert main([str(checkpoint), *files, "--top", "2", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [record["file"] for record in records] == [row["file"] for row in rows] == files
    for line, record, row in zip(text.splitlines(), records, rows, strict=True):
        first, second = record["classes"]
        assert (row["class"], row["class_2"]) == (first["class"], second["class"])
        assert float(row["confidence"]) == first["confidence"] >= second["confidence"] == float(row["confidence_2"])
        assert line == (f"{record['file']}: {first['class']} {first['confidence']:.1%}, "
                        f"{second['class']} {second['confidence']:.1%}")


def test_more_classes_than_there_are_is_all_of_them(checkpoint, pictures, capsys):
    assert main([str(checkpoint), str(pictures / "0.png"), "--top", "99", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert sorted(c["class"] for c in record["classes"]) == sorted(NAMES)
    assert sum(c["confidence"] for c in record["classes"]) == pytest.approx(1, abs=1e-5)


def test_where_nothing_is_classified_the_status_is_2(checkpoint, pictures, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main([str(checkpoint), str(tmp_path / "empty"), str(pictures / "bad.png"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err.splitlines()[0] == f"{tmp_path / 'empty'}: There are no pictures in this folder."
    assert main([str(tmp_path / "empty"), str(pictures / "0.png")]) == 2  # no checkpoint
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "config.json is missing" in err


def test_progress_is_shown_on_a_terminal_only(checkpoint, pictures, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    command = [str(checkpoint), str(pictures / "0.png"), str(pictures / "1.png")]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(command) == 0
    assert "/2 [" in sys.stderr.getvalue()
    assert capsys.readouterr().out.count("\n") == 2  # results, without the bar


def run(*arguments: str | Path, **more) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "mvit.predict", *map(str, arguments)], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


@pytest.mark.parametrize("how", ["--csv", "--json"])
def test_names_in_any_script_survive_the_c_locale(checkpoint, tmp_path, how):
    files = [tmp_path / "más 日.png", tmp_path / os.fsdecode(b"caf\xe9.png")]  # the second is Latin-1, no UTF-8
    for file in files:
        Image.new("RGB", (32, 32), "red").save(file)
    process = run(checkpoint, *files, how, env={**os.environ, "LC_ALL": "C"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    if how == "--json":
        answers = [(record["file"], record["classes"][0]["class"]) for record in json.loads(out.decode())]
    else:
        text = out.decode("utf-8", "surrogateescape")
        answers = [(row["file"], row["class"]) for row in csv.DictReader(io.StringIO(text))]
    assert [file for file, _ in answers] == [str(file) for file in files]
    assert {name for _, name in answers} <= set(NAMES)


def test_a_reader_that_leaves_early_is_no_error(checkpoint, pictures):
    files = 500 * [pictures / "0.png"]
    process = run(checkpoint, *files, "--batch-size", "2", env={**os.environ, "PYTHONUNBUFFERED": "1"})
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141

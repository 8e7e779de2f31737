"""A run on a folder as people have one: without test/, with files that cannot be read, with strange names."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import train
from mvit.commands import evaluate, familiarity, interventions, probes
from mvit.data.images import Split
from mvit.explain.probes import Probes
from mvit.export import __main__ as export
from mvit.storage.files import load_json
from mvit.training.report import class_counts
from mvit.training.state import State
from tests.training.runs import ROOT, arguments, stop_before_the_first_epoch

STRANGE = ("$\\frac{", "<b>&amp;|*x*", "été 日本 🐈")


@pytest.fixture
def plain(folder, tmp_path):
    """Only folders of classes, one of them with a damaged file."""
    plain = tmp_path / "plain"
    shutil.copytree(folder / "train", plain)
    (plain / "red" / "cut.png").write_bytes((plain / "red" / "00.png").read_bytes()[:100])
    return plain


def test_a_damaged_file_stops_a_run_by_its_name_or_is_left_out(plain, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert train.main(arguments(plain, run)) == 2
    error = capsys.readouterr().err
    assert f"{plain / 'red' / 'cut.png'}: This picture is damaged" in error
    assert "--skip-damaged" in error
    assert train.main(arguments(plain, tmp_path / "whole", "--skip-damaged")) == 0
    said = capsys.readouterr().out
    assert "1 file(s) cannot be read as pictures:" in said
    assert "There is no test/: 20% of each class, 18 of 90 pictures, are kept for testing" in said
    assert "training images by class: blue 24, green 24, red 24\n" in said
    assert "That is 9 steps of training, few to begin from nothing: " in said
    assert "--recipe finetune begins with trained weights." in said
    stop_before_the_first_epoch(monkeypatch, plain, run, "--skip-damaged", "--test-share", "0.2")
    assert train.main(["--output", str(run), "--device", "cpu", "--resume"]) == 0
    expected, weights = (load_file(path / "model.safetensors") for path in (tmp_path / "whole", run))
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_the_same_pictures_are_tested_on_after_the_run(plain, tmp_path, capsys, monkeypatch):
    """By every command that is given a checkpoint and its data: a share of them, without the damaged one."""
    run, data = tmp_path / "run", ["--data", str(plain)]
    assert train.main(arguments(plain, run, "--epochs", "1", "--skip-damaged", "--test-share", "0.4")) == 0
    capsys.readouterr()
    assert evaluate.main([str(run), *data, "--json"]) == 0
    again, of_run = json.loads(capsys.readouterr().out), load_json(run / "evaluation.json")
    assert again["images"] == of_run["images"] == 36
    assert again["confusion_matrix"] == of_run["confusion_matrix"]
    for command in (interventions, familiarity, probes):
        assert command.main([str(run), *data]) == 0
    assert load_json(run / "interventions.json")["images"] == 36
    assert load_json(run / "interventions.json")["accuracy"] == of_run["accuracy"]
    familiar = load_json(run / "familiarity.json")
    assert familiar["calibrated_images"] + familiar["test_images"] == 36
    assert Probes.load(run).measured_on == of_run["split"]
    given = []
    for name in ("export", "write"):  # which take seconds
        monkeypatch.setattr(export, name, lambda *_: None)
    monkeypatch.setattr(export, "write_int8", lambda file, proto, train, test: given.append(len(test)))
    assert export.main([str(run), *data, "--int8", "--output", str(tmp_path / "run.onnx")]) == 0
    assert given == [36]


def test_a_recipe_holds_fewer_out_of_few_and_says_so(plain, tmp_path, capsys, monkeypatch):
    (plain / "red" / "cut.png").unlink()
    stop_before_the_first_epoch(monkeypatch, plain, tmp_path / "run", "--recipe", "strong")
    said = capsys.readouterr().out
    assert "The recipe strong holds 2,000 images out, too many of 72: here it holds out a fifth, 14 (" in said
    assert said.count("There is no test/") == 1
    assert State.load(tmp_path / "run" / "run").settings.validation == 14
    assert train.main(["--output", str(tmp_path / "run"), "--device", "cpu", "--resume", "--epochs", "3"]) == 0
    assert load_json(tmp_path / "run" / "validation.json")["images"] == 14
    assert load_json(tmp_path / "run" / "evaluation.json")["images"] == 18
    assert train.main(arguments(plain, tmp_path / "typed", "--validation", "1999")) == 2  # what is typed is meant
    assert "cannot hold out 1999 of 72 images" in capsys.readouterr().err


def test_the_classes_are_counted_and_unevenness_is_told():
    def split(*sizes: int) -> Split:
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        return Split("made", tuple(f"c{i}" for i in range(len(sizes))), torch.empty(0), labels, labels > 0)

    assert class_counts(split(1200, 700)) == "training images by class: c0 1,200, c1 700"
    assert "c0 has 10.0 times the images of c1" in class_counts(split(100, 10))
    many = class_counts(split(*range(10, 1010)))
    assert many.startswith("training images by class: 1,000 classes, from 10 (c0) to 1,009 (c999), median 510\n")
    assert len(many) < 300


def test_strange_names_come_through_to_every_file_in_the_c_locale(folder, tmp_path):
    data, run = tmp_path / "d\udce9 ü", tmp_path / "run"
    for name, colour in zip(STRANGE, ("red", "green", "blue"), strict=True):
        shutil.copytree(folder / "train" / colour, data / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    environment |= {"LC_ALL": "C", "OMP_NUM_THREADS": "1",
                    "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # nor does Python help itself
    done = subprocess.run([sys.executable, "train.py", *arguments(data, run, "--epochs", "1")], cwd=ROOT,
                          env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    names = list(load_json(run / "evaluation.json")["per_class_accuracy"])
    assert names == load_json(run / "config.json")["class_names"] == sorted(STRANGE)
    assert load_json(run / "evaluation.json")["split"].startswith(r"d\xe9 ü test split")
    card = (run / "README.md").read_text(encoding="utf-8")
    assert r"(\$\\frac\{, \<b\>\&amp;\|\*x\*, été 日本 🐈)" in card

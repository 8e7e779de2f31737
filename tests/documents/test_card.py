"""The tables that are made from what runs leave behind."""

import json
from dataclasses import asdict, replace

import pytest

from mvit.commands import card
from mvit.documents.ablation import ablation, collect
from mvit.documents.tables import figures, training_speeds, with_tables
from mvit.training.settings import Settings


def finished_run(folder, settings, accuracy, command="python train.py", device="cpu", before=0, earlier=None):
    folder.mkdir()
    history = [{"train_accuracy": 0.9, "validation_accuracy": accuracy, "device": device}] * (before + settings.epochs)
    files = {"run": {"command": command, "settings": asdict(settings), "earlier": earlier or {}}, "history": history,
             "evaluation": {"split": "500 lossless images held out from the train split", "images": 500,
                            "accuracy": accuracy, "date": "2026-01-01"}}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_runs_that_differ_in_the_seed_alone_share_a_row(tmp_path):
    base, file = Settings(epochs=3, validation=500), tmp_path / "ablation.json"
    runs = [finished_run(tmp_path / "a", base, 0.70),
            finished_run(tmp_path / "b", replace(base, seed=1), 0.74, device="cuda"),
            finished_run(tmp_path / "c", replace(base, optimizer="muon"), 0.80, "python train.py --optimizer muon")]
    collect(runs, file)
    header, _, first, second, _, _ = ablation(file).splitlines()
    assert header == ("| command | epochs | seeds | on | train accuracy | held out | validation accuracy "
                      "| test accuracy |")
    assert first == ("| `python train.py --optimizer muon` | 3 | 0 | cpu | 90.00% | 500 lossless images | 80.00% "
                     "(76.3% to 83.3%) |  |")
    assert second == ("| `python train.py` | 3 | 0, 1 | cpu, cuda | 90.00% | 500 lossless images | 72.00% "
                      "(67.9% to 75.8%; standard deviation 2.83 points) |  |")


def test_a_run_that_builds_on_others_names_their_commands(tmp_path):
    """Each once, but for its own; and going on twice from one folder gives two rows."""
    settings, file = Settings(epochs=3, validation=500, weights="a", bfloat16=True), tmp_path / "ablation.json"
    teacher = {"command": "make a teacher"}
    earlier = {"teacher": teacher, "a": {"command": "go on", "earlier": {"teacher": teacher}}, "b": None}
    collect([finished_run(tmp_path / "a", settings, 0.70, "go on", before=20, earlier=earlier)], file)
    collect([finished_run(tmp_path / "b", settings, 0.71, "go on", before=23, earlier=earlier)], file)
    _, _, first, second, *_ = ablation(file).splitlines()
    assert first.startswith("| `make a teacher`, then `go on`, then `go on` | 20 + 3 | 0 | cpu in bfloat16 | 90.00% |")
    assert " | 23 + 3 | " in second


def test_a_run_from_before_there_was_an_option_is_one_without_it(tmp_path):
    settings, file = Settings(epochs=3, validation=500), tmp_path / "ablation.json"
    old = finished_run(tmp_path / "a", settings, 0.70)
    about = json.loads((old / "run.json").read_text())
    del about["settings"]["randaugment"]
    (old / "run.json").write_text(json.dumps(about))
    collect([old, finished_run(tmp_path / "b", replace(settings, seed=1), 0.74)], file)
    assert "| 0, 1 |" in ablation(file)
    collect([finished_run(tmp_path / "c", replace(settings, randaugment=9), 0.74)], file)
    assert "| 0, 1 |" in ablation(file)


def test_runs_that_read_the_test_images_say_what_they_gave(tmp_path):
    file, runs = tmp_path / "ablation.json", []
    for seed, accuracy in ((0, 0.5), (1, 0.7)):
        run = finished_run(tmp_path / str(seed), Settings(epochs=3, validation=500, seed=seed), 0.70)
        (run / "evaluation.json").rename(run / "validation.json")
        (run / "evaluation.json").write_text(json.dumps(
            {"split": "test split", "images": 100, "accuracy": accuracy, "date": "2026-01-01"}))
        runs.append(run)
    collect(runs, file)
    assert ("| 70.00% (65.8% to 73.9%; standard deviation 0.00 points) "
            "| 60.00% (50.2% to 69.1%; standard deviation 14.14 points), test split |") in ablation(file)


def test_two_processes_are_another_setting(tmp_path):
    base, file = Settings(epochs=3, validation=500), tmp_path / "ablation.json"
    collect([finished_run(tmp_path / "a", base, 0.70), finished_run(tmp_path / "b", replace(base, processes=2), 0.74)],
            file)
    assert [run["validation_accuracy"] for run in json.loads(file.read_text())] == [0.70, 0.74]


def test_a_run_that_is_made_again_takes_its_own_place(tmp_path):
    settings, file = Settings(epochs=3, validation=500), tmp_path / "ablation.json"
    collect([finished_run(tmp_path / "a", settings, 0.70)], file)
    collect([finished_run(tmp_path / "b", settings, 0.75)], file)
    (run,) = json.loads(file.read_text())
    assert run["validation_accuracy"] == 0.75


def test_what_is_no_run_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(card, "CHECKPOINTS", tmp_path)
    assert card.main(["--ablation", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_training_speed_says_what_was_measured(tmp_path):
    assert training_speeds(tmp_path) == "Not measured yet.\n"
    result = {
        "machine": "a machine", "threads": 2, "torch": "2", "date": "today", "recipe": "reference",
        "rounds": 5, "steps": 25, "images_per_second": {"usual": 100.0, "ours": 250.0, "ours, two processes": 300.0},
        "ratio": {"ours": 2.4, "ours, two processes": 3.1},
        "minutes_for_20_epochs": {"usual": 166.7, "ours": 66.7, "ours, two processes": 55.6},
        "step": {"convolution": 0.6, "other": 0.4},
    }
    (tmp_path / "training_speed.json").write_text(json.dumps(result))
    quick = {**result, "machine": "a card", "images_per_second": {"ours": 29479.0},
             "minutes_for_20_epochs": {"ours": 0.566}}
    (tmp_path / "training_speed_cuda.json").write_text(json.dumps(quick))
    text = training_speeds(tmp_path)
    for words in ("| 100 | 1.00 × | 167 min |", "| 250 | 2.40 × | 67 min |", "| 300 | 3.10 × | 56 min |",
                  "convolution 60%", "on a machine", "on a card", "5 turns of 25 batches",
                  "| 29,479 | 2.40 × | 0.6 min |"):
        assert words in text


@pytest.mark.parametrize("name", ["figures", "curve", "speed", "training", "ablation", "familiarity"])
def test_a_table_is_put_between_its_marks_and_nowhere_else(tmp_path, name):
    text = f"before\n<!-- {name}: python -m mvit.card -->\nold\n<!-- /{name} -->\nafter\n"
    made = with_tables(text, tmp_path)
    assert made.startswith("before\n<!--")
    assert made.endswith("-->\nafter\n")
    assert "old" not in made
    assert with_tables(made, tmp_path) == made
    assert with_tables("no marks\n", tmp_path) == "no marks\n"


@pytest.mark.parametrize("split,columns", [
    ("CIFAR-10 test split, JPEG copy", " |  | 80.00% (70.0% to 90.0%) | "),
    ("CIFAR-10 test split, canonical pixels", " | **80.00% (70.0% to 90.0%)** |  | "),
    ("mine test split", " |  | 80.00% (70.0% to 90.0%; mine test split) | "),
])
def test_another_network_that_was_trained_here_has_its_accuracy_in_the_column_of_its_split(tmp_path, split, columns):
    measured = {"name": "ResNet-50", "variant": "frozen", "device": "cpu", "threads": 1, "params": 23.5e6,
                "flops": 167e6, "fps": 100.0, "accuracy": 0.8, "accuracy_interval_95": [0.7, 0.9],
                "accuracy_source": f"measured with compared/resnet50-reference: {split}"}
    quoted = {**measured, "name": "quoted", "accuracy_source": "quoted: published figure", "accuracy_interval_95": None}
    (tmp_path / "benchmark.json").write_text(json.dumps({"models": [measured, quoted]}))
    (tmp_path / "resnet").mkdir()  # what the page does not offer is not in the way
    (tmp_path / "resnet" / "evaluation.json").write_text("{}")
    table = figures(tmp_path)
    assert f"| ResNet-50, measured{columns}| 23.50 M | 167.0 | 100 |" in table
    assert "| quoted, measured | not trained here, or not for as long |  | | 23.50 M" in table

"""A run: what it leaves, and that each setting does what it says."""

import gc
import json
import shutil
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train
from mvit import MobileViT
from mvit.data.pictures import load_picture
from mvit.evaluation import accuracy as evaluate
from mvit.inference.classifier import Classifier
from mvit.training import log, output
from mvit.training import run as training
from mvit.training.processes import Processes
from mvit.training.report import in_words
from mvit.training.state import State
from tests.training.runs import arguments, stop_before_the_first_epoch


def test_what_a_run_leaves(finished, folder):
    assert {path.name for path in finished.iterdir()} == {
        "README.md", "config.json", "evaluation.json", "history.json", "model.safetensors", "probes.safetensors",
        "run.json", "familiarity.json", "familiarity.safetensors",
    }
    history = json.loads((finished / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"} <= history[0].keys()
    assert history[-1]["train_accuracy"] > 0.6  # chance is 0.33
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert evaluation["accuracy"] == history[-1]["test_accuracy"]
    card = (finished / "README.md").read_text()
    assert f"{history[-1]['train_accuracy']:.2%}" in card
    assert f"{evaluation['accuracy']:.2%}" in card
    assert "JPEG copy" in card
    assert f"python train.py --data {folder}" in card
    config = json.loads((finished / "config.json").read_text())
    assert config["class_names"] == ["blue", "green", "red"]
    assert config["mean"][0] == pytest.approx(0.39, abs=0.02)  # (79.5 + 60 / 3) / 255


def test_what_a_run_leaves_calls_a_strange_picture_unusual_and_few_of_its_own_kind(finished, folder):
    classifier = Classifier(finished)
    noise = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8).numpy()
    assert classifier(Image.fromarray(noise)).unusual is not None
    files = list((folder / "test").glob("*/*"))
    assert sum(classifier(load_picture(file)).unusual is not None for file in files) <= 0.2 * len(files)
    card, record = (finished / "README.md").read_text(), json.loads((finished / "familiarity.json").read_text())
    assert f"**{record['test_share']:.1%}** are" in card
    assert "--compare` does it" in card  # what needs other pictures


def test_another_seed_ends_elsewhere(finished, folder, tmp_path):
    assert train.main(arguments(folder, tmp_path / "other", "--seed", "1")) == 0
    expected, weights = (load_file(path / "model.safetensors") for path in (finished, tmp_path / "other"))
    assert not torch.equal(expected["stem.0.weight"], weights["stem.0.weight"])


def test_without_output_the_recipe_s_checkpoint_is_replaced(folder, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "CHECKPOINTS", tmp_path)
    shutil.copytree(finished, tmp_path / "reference")
    (tmp_path / "reference" / "validation.json").touch()  # of an earlier run, unlike this one
    options = arguments(folder, "unused", "--epochs", "1")
    del options[2:4]
    assert train.main(options) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]
    assert not (tmp_path / "reference" / "validation.json").exists()
    assert len(json.loads((tmp_path / "reference" / "history.json").read_text())) == 1
    assert MobileViT.from_pretrained(tmp_path / "reference").config.class_names == ("blue", "green", "red")


def test_validation_leaves_the_test_images_alone(folder, tmp_path):
    assert train.main(arguments(folder, tmp_path / "run", "--epochs", "1", "--validation", "30")) == 0
    (record,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert "validation_accuracy" in record
    assert "test_accuracy" not in record
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["images"] == 30
    assert evaluation["split"].startswith("30 lossless images held out")
    assert not (tmp_path / "run" / "validation.json").exists()


def test_the_test_images_are_read_once_where_that_is_asked_for(folder, tmp_path, monkeypatch):
    read = []

    def predict(model, split):
        read.append(split.name)
        return evaluate.predict(model, split)

    monkeypatch.setattr(training, "predict", predict)
    monkeypatch.setattr(training, "evaluate", lambda model, split: read.append(split.name) or evaluate.evaluate(
        model, split))
    assert train.main(arguments(folder, tmp_path / "run", "--validation", "30", "--final-test")) == 0
    assert len([name for name in read if "held out" not in name]) == 1
    validation, test = (json.loads((tmp_path / "run" / f"{name}.json").read_text()) for name in (
        "validation", "evaluation"))
    assert (validation["images"], test["images"]) == (30, 30)
    assert "held out" in validation["split"]
    assert "test split" in test["split"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["temperature"] == validation["temperature"] == test["temperature"] != 1
    assert "fitted to the validation images" in (tmp_path / "run" / "README.md").read_text()


def test_a_loss_that_is_no_number_stops_the_run(folder, tmp_path, capsys, monkeypatch):
    assert train.main(arguments(folder, tmp_path / "run", "--lr", "1e30")) == 2
    assert "try a lower learning rate" in capsys.readouterr().err
    monkeypatch.setattr(training, "loss_and_accuracy", lambda *_: (float("inf"), 0.5))
    assert train.main(arguments(folder, tmp_path / "watched")) == 2
    assert "The test loss is inf in epoch 1: delete" in capsys.readouterr().err
    assert State.load(tmp_path / "watched" / "run").history == []


@pytest.mark.parametrize("fails", ["model_card", "evaluate"])
def test_an_error_at_the_end_leaves_the_weights(folder, finished, tmp_path, capsys, monkeypatch, fails):
    run = tmp_path / "run"

    def fail(*_):
        raise ValueError("of this test")

    with monkeypatch.context() as patch:
        patch.setattr(training, fails, fail)
        assert train.main(arguments(folder, run)) == 2
    error = capsys.readouterr().err
    assert f"The weights are in {run / 'run' / 'new'}; the same command with --resume goes on." in error
    assert len(error.strip().splitlines()) == 1
    weights = MobileViT.from_pretrained(run / "run" / "new").state_dict()
    expected = load_file(finished / "model.safetensors")
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    assert train.main(arguments(folder, run, "--resume")) == 0
    assert {path.name for path in run.iterdir()} == {path.name for path in finished.iterdir()}


def test_the_moving_average_is_what_is_shipped(folder, tmp_path):
    """An average that keeps nearly all of itself is still near the initial weights at the end."""
    distances = []
    for ema in ("0", "0.999"):
        output = tmp_path / ema
        assert train.main(arguments(folder, output, "--ema", ema)) == 0
        config = MobileViT.from_pretrained(output).config
        torch.manual_seed(0)
        began = MobileViT(config).state_dict()
        ended = load_file(output / "model.safetensors")
        distances.append(sum((ended[name] - began[name]).square().sum().item() for name in ended
                             if ended[name].ndim == 4))
    assert distances[1] < 0.2 * distances[0]  # it begins after the first step


@pytest.fixture
def last_train_loss(folder, tmp_path, monkeypatch):
    """Of a run with these options, which ends after its last epoch."""
    def of(*more):
        with monkeypatch.context() as patch:
            patch.setattr(training, "finish", lambda run: None)
            output = tmp_path / "-".join(more)
            assert train.main(arguments(folder, output, *more)) == 0
        return json.loads((output / "run" / "history.json").read_text())[-1]["train_loss"]
    return of


def test_label_smoothing_costs(last_train_loss):
    losses = [last_train_loss("--label-smoothing", smoothing) for smoothing in ("0", "0.5")]
    assert losses[1] > losses[0] + 0.2


def test_cutout_hides_what_is_learnt_from(last_train_loss, tmp_path):
    means = [sum(last_train_loss("--cutout", side, "--seed", seed) for seed in "012") / 3 for side in ("0", "32")]
    assert means[1] > means[0] + 0.1
    output = tmp_path / "--cutout-32---seed-0"
    assert train.main(["--output", str(output), "--resume"]) == 0
    assert "a square of 32 x 32 pixels is blanked" in (output / "README.md").read_text()


def test_a_run_can_be_watched_in_tensorboard(folder, tmp_path, monkeypatch, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(log, "LOGS", tmp_path / "logs")
    output = tmp_path / "mine"
    stop_before_the_first_epoch(monkeypatch, folder, output, "--epochs", "2", "--log", "tensorboard")
    assert train.main(arguments(folder, output, "--epochs", "2", "--log", "tensorboard", "--resume")) == 0
    (written,) = (tmp_path / "logs" / "mine").iterdir()  # it went on in the same folder
    events = accumulator.EventAccumulator(str(written)).Reload()
    for record in json.loads((output / "history.json").read_text()):
        for name in ("loss/train", "accuracy/test", "run/learning_rate", "run/images_per_second"):
            quantity, part = name.split("/")
            value = record[part if quantity == "run" else f"{part}_{quantity}"]
            assert [event.value for event in events.Scalars(name) if event.step == record["epoch"]] == [
                pytest.approx(value, rel=1e-6)]
    assert len(events.Images("examples")) == 2
    (text,) = events.Tensors("examples/text_summary")[0].tensor_proto.string_val
    assert "| image | class | answer |" in text.decode()
    assert "left" in capsys.readouterr().out.split("epoch   1/2")[1].splitlines()[0]


def test_nothing_holds_a_run_when_its_processes_part(folder, tmp_path, monkeypatch):
    """What DistributedDataParallel holds would end a process in an abort."""
    held = []

    def leave(self):
        gc.collect()
        held.append(sum(type(thing) is training.Run for thing in gc.get_objects()))

    monkeypatch.setattr(Processes, "leave", leave)
    assert train.main(arguments(folder, tmp_path / "run", "--epochs", "1")) == 0
    assert held == [0]


def test_a_run_that_is_refused_leaves_no_log(folder, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(log, "LOGS", tmp_path / "logs")
    for data, mine, *more in ((tmp_path / "nowhere", tmp_path / "mine"), (folder, tmp_path / "mine", "--resume")):
        assert train.main(arguments(data, mine, "--log", "tensorboard", *more)) == 2
    assert not (tmp_path / "logs").exists()


def test_runs_of_one_name_have_logs_of_their_own(folder, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(log, "LOGS", tmp_path / "logs")
    stop_before_the_first_epoch(monkeypatch, folder, tmp_path / "a" / "mine")  # without a log
    assert train.main(arguments(folder, tmp_path / "b" / "mine", "--epochs", "1", "--log", "tensorboard")) == 0
    assert train.main(arguments(folder, tmp_path / "a" / "mine", "--log", "tensorboard", "--resume")) == 0
    assert len(list((tmp_path / "logs" / "mine").iterdir())) == 2


def test_without_tensorboard_it_is_said_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train.main(arguments(tmp_path / "nowhere", tmp_path / "mine", "--log", "tensorboard")) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "1 h 0 min"),
                                                (11_100, "3 h 5 min")])
def test_how_long_it_will_take_in_words(seconds, words):
    assert in_words(seconds) == words

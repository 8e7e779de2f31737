"""Checkpoints: a round trip, hostile files, and what evaluation says of them."""

import json
import math
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mvit.evaluation.accuracy
from mvit import CheckpointError, MobileViT
from mvit.commands.evaluate import main
from mvit.data.images import DataError, Split, load_split
from mvit.evaluation.accuracy import (
    calibrate,
    cut_and_fit,
    evaluate,
    predict,
    reliability,
    wilson_interval,
    with_classes_of,
)
from mvit.inference.classifier import Classifier, _read_reliability
from mvit.storage.records import Records
from tests.conftest import StandIn

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def checkpoint(tiny, tmp_path) -> Path:
    MobileViT(tiny).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_round_trip(tiny, checkpoint):
    torch.manual_seed(0)
    model, loaded = MobileViT(tiny).eval(), MobileViT.from_pretrained(checkpoint)
    assert loaded.config == model.config
    assert not loaded.training
    assert {path.name for path in checkpoint.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    loaded.save_pretrained(checkpoint.with_name("again"))
    for name in ("model.safetensors", "config.json"):
        assert (checkpoint / name).read_bytes() == (checkpoint.with_name("again") / name).read_bytes()
    again = MobileViT.from_pretrained(checkpoint.with_name("again"))
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(x), loaded(x))


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-run",)


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    content = weights.read_bytes()
    tensors = load_file(weights)
    match how:
        case "no config":
            config.unlink()
        case "no weights":
            weights.unlink()
        case "config is text":
            config.write_text("a cat")
        case "config is a list":
            config.write_text("[1, 2]")
        case "config is another model's":
            config.write_text('{"architectures": ["BertModel"], "hidden_size": 768}')
        case "config is null":
            config.write_text("null")
        case "config is binary":
            config.write_bytes(b"\xff\xfe\x00")
        case "config builds a giant":
            config.write_text(json.dumps(json.loads(config.read_text()) | {"stem_channels": 10**12}))
        case "config has a string for a number":
            config.write_text(json.dumps(json.loads(config.read_text()) | {"head_channels": "8"}))
        case "config has other stages":
            config.write_text(json.dumps(json.loads(config.read_text()) | {"stages": [{"width": 3}]}))
        case "truncated":
            weights.write_bytes(content[: len(content) // 2])
        case "empty":
            weights.write_bytes(b"")
        case "a pickle":
            weights.write_bytes(pickle.dumps(Bomb()))
        case "only a pickle":
            weights.unlink()
            torch.save(tensors | {"bomb": Bomb()}, folder / "pytorch_model.bin")
        case "one weight too few":
            del tensors["stem.0.weight"]
            save_file(tensors, weights)
        case "one weight too many":
            save_file(tensors | {"more": torch.zeros(1)}, weights)
        case "another shape":
            save_file(tensors | {"stem.0.weight": torch.zeros(5, 3, 3, 3)}, weights)
        case "a weight that is no number" | "an infinite weight":
            tensors["stem.0.weight"][0, 0, 0, 0] = float("nan" if "no number" in how else "inf")
            save_file(tensors, weights)
        case "weights too large to compute with":
            save_file({name: 1e38 * tensor.sign() if tensor.is_floating_point() else tensor
                       for name, tensor in tensors.items()}, weights)
        case "a pointer of git-lfs":
            weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1699544\n")
        case "config is 100,000 brackets":
            config.write_text(100_000 * "[")
        case "dropout is NaN" | "mean is infinite" | "std is NaN" | "classes of one name" | "no stages":
            changes = {"dropout is NaN": {"dropout": float("nan")}, "mean is infinite": {"mean": [0.5, 0.5, math.inf]},
                       "std is NaN": {"std": [math.nan, 1, 1]}, "classes of one name": {"class_names": 3 * ["a"]},
                       "no stages": {"stages": []}}
            config.write_text(json.dumps(json.loads(config.read_text()) | changes[how]))


def test_a_giant_in_any_stage_is_refused(checkpoint):
    file = checkpoint / "config.json"
    config = json.loads(file.read_text())
    config["stages"][0]["channels"] = 1024  # allowed by itself, but not what the weights are
    config["stages"][1]["depth"] = 500
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="holds other weights"):
        MobileViT.from_pretrained(checkpoint)


@pytest.mark.parametrize("how", [
    "no config", "no weights", "config is text", "config is a list", "config is another model's", "config is null",
    "config is binary", "config builds a giant", "config has a string for a number", "config has other stages",
    "truncated", "empty", "a pickle", "only a pickle", "one weight too few", "one weight too many", "another shape",
    "a weight that is no number", "an infinite weight", "weights too large to compute with", "a pointer of git-lfs",
    "config is 100,000 brackets", "dropout is NaN", "mean is infinite", "std is NaN", "classes of one name",
    "no stages",
])
def test_a_hostile_checkpoint_gets_one_sentence(checkpoint, how, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    damage(checkpoint, how)
    with pytest.raises(CheckpointError) as caught:
        MobileViT.from_pretrained(checkpoint)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"Cannot load {checkpoint}: ")
    assert not (tmp_path / "pickle-was-run").exists()


def test_a_pointer_of_git_lfs_is_said_to_be_one(checkpoint):
    damage(checkpoint, "a pointer of git-lfs")
    with pytest.raises(CheckpointError, match="run git lfs pull"):
        MobileViT.from_pretrained(checkpoint)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_what_wrappers_put_before_the_names_is_taken_off(checkpoint, prefix):
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, file)
    loaded = MobileViT.from_pretrained(checkpoint).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_name_of_the_hub_is_answered_soon_where_it_cannot_be_reached(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as people have it
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match="no such folder, and the Hugging Face Hub cannot be reached"):
        MobileViT.from_pretrained("nobody/nothing")
    assert time.monotonic() - begin < 10  # five tries took 23


# What a person or another program may have put in the place of what training writes.
OTHER_SHAPES = [
    100_000 * "[", "null", "3", "[]", "[1]", "{}", '"a"', '{"reliability": 3}', '{"reliability": [3]}', "NaN",
    '{"reliability": [{"images": 5}]}', '{"accuracy": "high", "split": "test", "images": 3}',
    '{"accuracy": 0.5, "split": 7, "images": 3}', '{"accuracy": 0.5}', '{"settings": 3, "command": "x"}',
    '{"split": "test", "images": 3, "accuracy": 0.5, "reliability": [{"images": 1, "confidence_from": "0"}]}',
]


@pytest.mark.parametrize("content", OTHER_SHAPES, ids=range(len(OTHER_SHAPES)))
def test_records_of_another_shape_are_as_if_they_were_not_there(checkpoint, content):
    for name in ("evaluation", "history", "validation", "run"):
        (checkpoint / f"{name}.json").write_text(content)
    records = Records.read(checkpoint)
    assert (records.run, records.epochs_before, records.watched) == (None, 0, "test")
    assert all(isinstance(evaluation["accuracy"], float) for evaluation in records.evaluations.values())
    assert _read_reliability(checkpoint / "evaluation.json") == []


@pytest.mark.parametrize("name", ["nothing/here", "/nothing/here", "a b c", ""])
def test_a_checkpoint_that_is_not_there(name):
    with pytest.raises(CheckpointError, match="Cannot load"):
        MobileViT.from_pretrained(name)


def test_command_line_answers_in_one_line(checkpoint, folder):
    damage(checkpoint, "truncated")
    command = [sys.executable, "-m", "mvit.evaluate", str(checkpoint), "--data", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


# --------------------------------------------------------------------------- evaluation


class Known(StandIn):
    """A network whose answers are written in the images."""

    def forward(self, x):
        """Says the class in the first pixel's red, with a probability of its green in percent."""
        said, p = x[:, 0, 0, 0].long(), x[:, 1, 0, 0] / 100
        others = ((1 - p) / 2).log()
        return others[:, None].expand(-1, 3).scatter(1, said[:, None], p.log()[:, None])


def test_evaluation_counts_what_it_should(tiny):
    true, said, percent = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], [95, 45, 55, 99, 55, 91]
    images = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = torch.tensor(said), torch.tensor(percent)
    split = Split("made", tiny.class_names, images, torch.tensor(true), torch.ones(6, dtype=torch.bool))
    result = evaluate(Known(tiny), split)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["per_class_accuracy"] == {"blue": 2 / 3, "green": 1 / 2, "red": 1}
    probabilities = torch.tensor([0.95, 0.45, 0.225, 0.99, 0.225, 0.91])  # of the true class
    assert result["loss"] == pytest.approx(-probabilities.log().mean().item(), rel=1e-5)
    bins = {r["confidence_from"]: (r["images"], r["accuracy"]) for r in result["reliability"] if r["images"]}
    assert bins == {0.4: (1, 1.0), 0.5: (2, 0.0), 0.9: (3, 1.0)}
    torch.testing.assert_close(predict(Known(tiny), split, batch_size=4), predict(Known(tiny), split))
    # By bins of a fifteenth, 0.45 is alone, two of 0.55 are both wrong, and 0.91 is not in one bin with 0.95 and 0.99.
    expected = (abs(1 - 0.45) + 2 * 0.55 + abs(1 - 0.91) + abs(2 - 0.95 - 0.99)) / 6
    assert result["calibration_error"] == pytest.approx(expected, abs=1e-6)
    json.dumps(result)


def test_reliability_of_nothing():
    assert all(record["accuracy"] is None for record in reliability(torch.zeros(0, 3), torch.zeros(0).long()))


def test_calibration_finds_the_temperature_of_what_is_too_sure(tiny, monkeypatch):
    """Answers drawn from a network's own probabilities, whose logits are then multiplied by three."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(4000, 3)
    labels = torch.multinomial(logits.softmax(1), 1)[:, 0]

    split = Split("made", tiny.class_names, torch.zeros(4000, 3, 1, 1, dtype=torch.uint8), labels,
                  torch.ones(4000, dtype=torch.bool))
    monkeypatch.setattr(mvit.evaluation.accuracy, "predict", lambda network, split: 3 * logits)
    network = Known(tiny)
    network.config = calibrate(network, split)
    assert network.config.temperature == pytest.approx(3, rel=0.1)
    result = evaluate(network, split)
    assert result["temperature"] == network.config.temperature
    assert result["calibration_error"] < 0.02 < 0.08 < result["calibration_error_at_temperature_1"]
    # The tenths of confidence are the page's, so they are calibrated too.
    for record in result["reliability"]:
        if record["images"] > 300:
            assert record["confidence_from"] - 0.05 < record["accuracy"] < record["confidence_to"] + 0.05


def test_a_temperature_stays_within_what_a_configuration_takes(tiny):
    """Where every answer is right, no temperature would be low enough."""
    split = Split("made", tiny.class_names, torch.zeros(2, 3, 1, 1, dtype=torch.uint8), torch.tensor([0, 1]),
                  torch.ones(2, dtype=torch.bool))
    network = Known(tiny)
    network.forward = lambda x: 3 * torch.eye(3)[:2]
    assert 0.01 <= calibrate(network, split).temperature < 1


def test_interval():
    """Against the table in Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@pytest.mark.parametrize(("aspect", "how", "kept", "bars"), [
    ((2, 1), "crop", (slice(8, 24), slice(8, 24)), False), ((1, 2), "crop", (slice(8, 24), slice(8, 24)), False),
    ((2, 1), "letterbox", (slice(8, 24), slice(0, 32)), True),
    ((1, 2), "letterbox", (slice(0, 32), slice(8, 24)), True),
])
def test_cut_and_fit(tiny, aspect, how, kept, bars):
    """Only the part that is kept matters, and letterboxing adds bars."""
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    pixels[..., kept[0], kept[1]] = 255
    split = Split("made", tiny.class_names, pixels, torch.tensor([0]), torch.tensor([True]))
    (image,) = cut_and_fit(split, *aspect, how).images
    white = (image == 255).all(0)
    expected = torch.ones(32, 32, dtype=torch.bool)
    if bars:  # above and below a wide picture, beside a tall one
        expected = torch.zeros(32, 32, dtype=torch.bool)
        expected[kept] = True
    assert torch.equal(white, expected)


def test_labels_follow_the_network_s_classes(tiny):
    images, lossless = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.ones(2, dtype=torch.bool)
    split = Split("made", ("red", "green"), images, torch.tensor([0, 1]), lossless)
    assert with_classes_of(MobileViT(tiny), split).labels.tolist() == [2, 1]
    split = Split("made", ("red", "violet"), images, torch.tensor([0, 1]), lossless)
    with pytest.raises(DataError, match="does not know the class violet"):
        with_classes_of(MobileViT(tiny), split)


def test_command_line_prints_a_table_or_json(checkpoint, folder, capsys):
    command = [str(checkpoint), "--data", str(folder)]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    expected = evaluate(MobileViT.from_pretrained(checkpoint), load_split(folder, "test"))
    assert result["confusion_matrix"] == expected["confusion_matrix"]
    assert main([*command, "--split", "validation", "--validation", "9"]) == 0
    table = capsys.readouterr().out
    assert "9 lossless images held out" in table
    assert "95 % interval" in table


# --------------------------------------------------------------------------- one picture


def test_classifier_does_what_evaluation_does(checkpoint, folder):
    from mvit.data.pictures import load_picture

    classifier = Classifier(checkpoint)
    file = folder / "test" / "green" / "04.jpg"
    answer = classifier(load_picture(file))
    split = load_split(folder, "test")
    expected = classifier.model.probabilities(classifier.model(classifier.model.normalize(split.images[14:15])))[0]
    assert list(answer.confidences) == ["blue", "green", "red"]
    assert list(answer.confidences.values()) == pytest.approx(expected.tolist(), abs=1e-4)  # the fast variant
    assert answer.seen.size == (32, 32)
    assert answer.best[1] == max(answer.confidences.values())
    assert answer.reliability is None


def test_classifier_reports_how_often_it_is_right(checkpoint, folder):
    result = evaluate(MobileViT.from_pretrained(checkpoint), load_split(folder, "test"))
    (checkpoint / "evaluation.json").write_text(json.dumps(result))
    classifier = Classifier(checkpoint)
    from mvit.data.pictures import load_picture

    answer = classifier(load_picture(folder / "test" / "green" / "04.jpg"))
    confidence = answer.best[1]
    assert answer.reliability["confidence_from"] <= confidence <= answer.reliability["confidence_to"]
    for text in ("{", "[]", '{"reliability": 3}'):  # a damaged one does no harm
        (checkpoint / "evaluation.json").write_text(text)
        assert Classifier(checkpoint).reliability == []

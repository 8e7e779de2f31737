"""Weights are loaded strictly: what a hostile or damaged checkpoint gets is one sentence."""

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

from mvit import CheckpointError, MobileViT
from mvit.inference.classifier import _read_reliability
from mvit.storage.records import Records

ROOT = Path(__file__).parent.parent.parent


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

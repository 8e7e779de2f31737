"""What a run is told: settings, and what of them or of the images nothing can be trained with."""

import shutil
from dataclasses import fields

import pytest
import torch
from PIL import Image

import train
from mvit.training.schedule import learning_rate
from mvit.training.settings import Settings, TrainingError
from mvit.training.state import State
from tests.training.runs import arguments, stop_before_the_first_epoch


def test_learning_rates():
    constant = Settings(epochs=10, learning_rate=0.5)
    assert [learning_rate(constant, epoch) for epoch in (0, 5, 9.99)] == [0.5] * 3
    cosine = Settings(epochs=12, learning_rate=0.5, schedule="cosine", warmup_epochs=2)
    assert [learning_rate(cosine, epoch) for epoch in (0, 1, 2, 7, 12)] == pytest.approx([0, 0.25, 0.5, 0.25, 0])


def test_settings_are_checked():
    with pytest.raises(TrainingError, match="schedule must be one of constant, cosine"):
        Settings(schedule="none")
    with pytest.raises(TrainingError, match="optimizer must be one of adamw, muon"):
        Settings(optimizer="sgd")


def test_bfloat16_is_chosen_by_the_cpu_and_kept(folder, tmp_path, monkeypatch, capsys):
    for chosen, more in ((True, []), (False, []), (True, ["--no-bfloat16"]), (False, ["--bfloat16"])):
        monkeypatch.setattr(train, "fast_in_bfloat16", lambda device, chosen=chosen: chosen)
        output = tmp_path / f"{chosen} {len(more)}"
        stop_before_the_first_epoch(monkeypatch, folder, output, *more)
        settings = State.load(output / "run").settings
        assert settings.bfloat16 == (chosen if not more else more == ["--bfloat16"])
    monkeypatch.setattr(train, "pick_device", lambda name: torch.device("meta"))
    assert train.main(arguments(folder, tmp_path / "elsewhere", "--bfloat16")) == 2
    assert "bfloat16 is for training on a CPU, not on meta" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [
    ["--model", '{"width": 3}'], ["--model", '{"stem_channels": 0}'], ["--epochs", "0"], ["--validation", "90"],
    ["--model", "3"], ["--weight-decay", "-1"], ["--seed", "99999999999"], ["--device", "cuda:77"],
    ["--device", "toaster"], ["--data", "/nothing"], ["--model", '{"image_size": 0}'],
    ["--model", '{"kernel_size": 2}'], ["--cutout", "33"], ["--model", '{"class_names": ["a"]}'],
    ["--model", '{"class_names": ["green", "blue", "red"]}'], ["--model", '{"image_size": 4}'],
    ["--model", '{"image_size": 5, "stages": [{"channels": 8, "dim": 8, "depth": 1, "stride": 9}]}',
     "--batch-size", "1"],
    ["--model", '{"dropout": NaN}'], ["--model", '{"std": [1e-46, 1, 1]}'], ["--lr", "inf"],
    ["--batch-size", "9" * 20], ["--validation", "88"],
])
def test_what_cannot_be_trained_is_said_in_one_line_before_the_first_epoch(folder, tmp_path, capsys, wrong):
    assert train.main(arguments(folder, tmp_path / "run", *wrong)) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1
    assert not said.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", ["stem_channels=3", 100_000 * "["])
def test_what_is_neither_a_size_nor_json_is_called_that(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main(["--model", wrong])
    assert "error: argument --model: this is neither one of 25-mflops" in capsys.readouterr().err


def test_images_of_one_class_or_one_colour_are_refused(folder, tmp_path, capsys):
    for split in ("train", "test"):
        shutil.copytree(folder / split / "red", tmp_path / "data" / split / "red")
    assert train.main(arguments(tmp_path / "data", tmp_path / "run")) == 2
    assert "there is one class only, red" in capsys.readouterr().err
    for split, name in ((split, name) for split in ("train", "test") for name in ("grey", "red")):
        shutil.rmtree(tmp_path / "data" / split / name, ignore_errors=True)
        (tmp_path / "data" / split / name).mkdir()
        Image.new("RGB", (32, 32), "grey").save(tmp_path / "data" / split / name / "0.png")
    assert train.main(arguments(tmp_path / "data", tmp_path / "run")) == 2
    assert "all of one colour" in capsys.readouterr().err


def test_every_setting_is_an_option_that_says_what_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit, match="0"):
        train.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for setting in fields(Settings):
        if setting.name not in ("recipe", "processes"):  # one of its own, and one that the launcher decides
            flag = {"learning_rate": "--lr"}.get(setting.name, "--" + setting.name.replace("_", "-"))
            assert f" {flag}" in said
            assert setting.metadata["help"] in said
    typed = train.parse(["--epochs", "7", "--no-decay-all", "--ema", "0.5", "--model", '{"dropout": 0.1}'])
    assert (typed.epochs, typed.decay_all, typed.ema, typed.model) == (7, False, 0.5, {"dropout": 0.1})
    assert not hasattr(typed, "batch_size")  # the recipe's, or the run's


def test_a_resumed_run_knows_what_was_typed_behind_what_it_made_of_that():
    """A recipe's held-out images are fewer where there are few, and weights bring their architecture."""
    began = Settings("strong", validation=800, weights="somewhere", model={"dropout": 0.1, "mean": [0.5] * 3})
    assert began.agree("validation", 2000) and not began.agree("validation", 400)
    assert not began.agree("validation", 900)  # which was typed, and stays as it is
    assert began.agree("model", {"dropout": 0.1}) and not began.agree("model", {"dropout": 0.2})
    assert began.agree("epochs", 20) and not began.agree("epochs", 21)
    assert not Settings(model={"dropout": 0.1, "stem_channels": 8}).agree("model", {"dropout": 0.1})
    assert not Settings().agree("validation", 9)  # it held none out

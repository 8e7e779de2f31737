"""The checkpoints that are shipped are what their files say, and within the project's bounds."""

import json
from dataclasses import replace

import pytest

from mvit import MobileViT
from mvit.benchmark.costs import count_flops, count_parameters
from mvit.storage.files import CHECKPOINTS, ROOT
from mvit.training.settings import RECIPES, Settings

REFERENCE = CHECKPOINTS / "reference"


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

"""Accuracy, calibration and intervals against their definitions, and the command that measures them."""

import json

import pytest
import torch

import mvit.evaluation.accuracy
from mvit import MobileViT
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
from tests.conftest import StandIn


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

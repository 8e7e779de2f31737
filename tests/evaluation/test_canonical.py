"""The accuracy on canonical pixels, estimated from copies."""

import json
from dataclasses import replace

import pytest
import torch

from mvit.commands import canonical
from mvit.data.images import DataError, Split, hold_out, load_split
from mvit.evaluation.canonical import estimate, jpeg_copy
from mvit.model import MobileViT
from tests.conftest import StandIn


class Fine(StandIn):
    """Answers 1 where neighbouring pixels differ: what JPEG takes away."""

    def forward(self, x):
        fine = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
        return torch.stack([torch.full_like(fine, 20), fine, torch.zeros_like(fine)], 1)


@pytest.fixture
def held_out() -> Split:
    """Twenty plain images and twenty of columns that are alternately red and green, too fine for halved chroma."""
    plain = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    fine = plain.clone()
    fine[:, 0], fine[:, 1] = 98, 158
    fine[:, 0, :, ::2], fine[:, 1, :, ::2] = 158, 98
    return Split("lossless", ("a", "b", "c"), torch.cat([plain, fine]), torch.arange(2).repeat_interleave(20),
                 torch.ones(40, dtype=torch.bool))


def test_a_copy_is_what_the_data_s_copies_are(held_out):
    copy = jpeg_copy(held_out)
    assert not copy.lossless.any()
    assert torch.equal(copy.images[:20], held_out.images[:20])
    assert (copy.images[20:].float().diff(dim=-1).abs().mean() < 20)


def test_what_a_copy_costs_is_added(held_out, tiny):
    test = {"split": "CIFAR-10 test split, JPEG copy", "accuracy": 0.5, "images": 10_000}
    result = estimate(Fine(tiny), held_out, test)
    assert (result["held_out_accuracy"], result["held_out_accuracy_as_jpeg"]) == (1.0, 0.5)
    assert result["accuracy"] == 1.0  # 0.5, and the half that is lost by copying
    low, high = result["accuracy_interval_95"]
    deviation = (0.25 / 10_000 + 0.25 * 40 / 39 / 40) ** 0.5  # of the test, and of half that are lost
    assert 1 - low == pytest.approx(1.96 * deviation)
    assert high == 1


def test_it_takes_lossless_images_and_a_test_on_copies(held_out, tiny):
    copies = {"split": "CIFAR-10 test split, JPEG copy", "accuracy": 0.5, "images": 10}
    for images, test in ((held_out, {**copies, "split": "test split, canonical pixels"}),
                         (replace(held_out, lossless=held_out.lossless.logical_not()), copies)):
        with pytest.raises(DataError, match="lossless images held out"):
            estimate(Fine(tiny), images, test)


def test_the_command_adds_it_to_a_checkpoint(tiny, folder, tmp_path, capsys):
    checkpoint = tmp_path / "checkpoint"
    MobileViT(tiny).save_pretrained(checkpoint)
    assert canonical.main([str(checkpoint), "--data", str(folder)]) == 2
    assert "records neither held-out images nor a test" in capsys.readouterr().err
    (checkpoint / "run.json").write_text(json.dumps({"command": "", "settings": {"epochs": 1, "validation": 20}}))
    (checkpoint / "evaluation.json").write_text(
        json.dumps({"split": "CIFAR-10 test split, JPEG copy", "accuracy": 0.5, "images": 10}))
    assert canonical.main([str(checkpoint), "--data", str(folder)]) == 0
    made = json.loads((checkpoint / "canonical.json").read_text())
    assert made["held_out"] == hold_out(load_split(folder, "train"), 20)[1].name
    assert f"Canonical test images: {made['accuracy']:.2%}" in capsys.readouterr().out

"""The comparison of training speeds compares two loops that train, and counts what it says."""

import json
import multiprocessing
from dataclasses import asdict

import pytest
import torch
from torch.utils.data import DataLoader

from mvit import MobileViT
from mvit.commands import throughput
from mvit.training import rivals
from mvit.training.settings import Settings
from mvit.training.throughput import Pictures, made_images, step_profile, usual_epoch
from tests.conftest import TINY


def test_the_usual_script_trains(tiny):
    """On noise it learns its 64 labels by heart."""
    torch.manual_seed(0)
    split, network = made_images(64), MobileViT(tiny)
    network.head[-1] = torch.nn.Linear(tiny.head_channels, 10)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    loader = DataLoader(Pictures(split, network), 16, shuffle=True)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    usual_epoch(network, optimizer, loader, torch.device("cpu"))
    assert all(not torch.equal(weight, before[name]) for name, weight in network.named_parameters())
    images, labels = next(iter(loader))
    assert images.shape == (16, 3, 32, 32)
    assert labels.dtype == torch.int64
    assert images.max() == pytest.approx((1 - tiny.mean[0]) / tiny.std[0])


def test_shares_of_a_step_sum_to_one():
    layer, x = torch.nn.Conv2d(8, 8, 3), torch.randn(8, 8, 32, 32)
    shares = step_profile(lambda: [layer(x) for _ in range(5)], torch.device("cpu"))
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "convolution"
    assert "SiLU" not in shares


def test_command(tmp_path, capsys, monkeypatch):
    model = {**TINY, "stages": [asdict(stage) for stage in TINY["stages"]]}
    monkeypatch.setitem(throughput.RECIPES, "reference", Settings(batch_size=16, model=model))
    output = tmp_path / "speed.json"
    assert throughput.main(["--rounds", "1", "--steps", "1", "--device", "cpu", "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    speed = result["images_per_second"]
    assert list(speed) == ["usual", "ours", "ours, two processes"]
    assert result["ratio"]["ours"] == pytest.approx(speed["ours"] / speed["usual"])
    assert result["minutes_for_20_epochs"]["ours"] == pytest.approx(1e6 / speed["ours"] / 60)
    assert f"{speed['ours']:.0f} images/s" in capsys.readouterr().out
    assert sum(result["step"].values()) == pytest.approx(1)
    assert not multiprocessing.active_children()
    assert throughput.main(["--device", "toaster"]) == 2


def test_networks_are_compared_in_their_faster_precision(tmp_path, capsys, monkeypatch):
    model = {**TINY, "stages": [asdict(stage) for stage in TINY["stages"]]}
    settings = (Settings(batch_size=16, model=model), Settings(batch_size=16, network="tiniest"))
    asked = {}

    def images_per_second(contestants, *_):
        asked.update({name: contestant.ask("turn") for name, contestant in contestants.items()})
        return {name: 100.0 + (name == "reference True") for name in contestants}

    monkeypatch.setattr(rivals, "images_per_second", images_per_second)
    monkeypatch.setattr(throughput, "compare_networks",
                        lambda device, rounds, steps: rivals.compare_networks(device, rounds, steps, settings))
    output = tmp_path / "speed.json"
    assert throughput.main(["--compared", "--steps", "1", "--device", "cpu", "--output", str(output)]) == 0
    assert all(seconds > 0 for seconds in asked.values()) and len(asked) == 4
    result = json.loads(output.read_text())
    assert result["images_per_second"] == {"reference": 101, "compared/tiniest-reference": 100}
    assert result["bfloat16"]["reference"] is True
    assert "101 images/s in bfloat16" in capsys.readouterr().out

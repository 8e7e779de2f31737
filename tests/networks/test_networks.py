"""Other networks than ours: built by name, and trained by the same command."""

import json

import pytest
import torch
from torch import nn

import train
from mvit.benchmark import networks as benchmark
from mvit.benchmark.costs import count_flops, count_parameters
from mvit.networks import registry
from mvit.networks.registry import build
from mvit.networks.stems import UnknownNetworkError
from mvit.networks.tiniest import Block
from mvit.training import output, run
from mvit.training.network import network_config
from mvit.training.settings import Settings


def test_the_yardstick_has_the_published_size_and_sees_far():
    network = build("tiniest")
    assert count_parameters(network) == 97_530
    assert count_flops(network) == pytest.approx(89e6, rel=0.1)
    body = network.eval().body
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    body(x)[0, :, 8, 8].sum().backward()
    reached = x.grad[0].abs().sum(0).nonzero()
    assert reached.amin(0).tolist() == [0, 0] and reached.amax(0).tolist() == [31, 31]


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet18"])
def test_a_cifar_stem_keeps_every_pixel(name):
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is an extra")
    sizes = {}
    for stem in ("imagenet", "cifar"):
        network = build(name, num_classes=3, stem=stem)
        network.layer1.register_forward_hook(lambda _, inputs, __, stem=stem: sizes.update({stem: inputs[0].shape[2]}))
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert sizes == {"imagenet": 8, "cifar": 32}


@pytest.mark.parametrize("name,stem,words", [("nothing", "", "no network nothing"), ("timm/nothing", "", "of timm's"),
                                             ("alexnet", "cifar", "no stem of a ResNet")])
def test_what_there_is_not_is_said(name, stem, words):
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is an extra")
    with pytest.raises(UnknownNetworkError, match=words):
        build(name, stem=stem)


def test_networks_that_look_at_their_weights_while_they_are_built_can_be_named():
    assert network_config(Settings(network="regnet_x_400mf")).network == "regnet_x_400mf"


class Small(nn.Module):
    """Learns which colour is strong, in a moment."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.maxpool = nn.Conv2d(3, 8, 1), nn.Identity()
        self.rest = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                  nn.Linear(8, num_classes))

    def forward(self, x):
        return self.rest(self.maxpool(self.conv1(x)))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A network that is quick to train stands in for ResNet-50, and checkpoints go elsewhere."""
    monkeypatch.setattr(registry, "_of_library", lambda name, num_classes: Small(num_classes))
    monkeypatch.setattr(output, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(benchmark, "CHECKPOINTS", tmp_path)


def test_another_network_is_trained_stopped_continued_and_then_stands_in_the_benchmark(small, folder, tmp_path,
                                                                                        monkeypatch, capsys):
    command = ["--network", "resnet50", "--stem", "cifar", "--data", str(folder), "--epochs", "3", "--batch-size", "9",
               "--lr", "0.05", "--device", "cpu"]
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "finish", stop)
        assert train.main(command) == 130
    assert train.main(["--network", "resnet50", "--stem", "cifar", "--resume"]) == 0
    made = tmp_path / "compared" / "resnet50-cifar-stem-reference"
    assert {path.name for path in made.iterdir()} == {"README.md", "config.json", "evaluation.json", "history.json",
                                                      "model.safetensors", "run.json"}
    evaluation = json.loads((made / "evaluation.json").read_text())
    assert evaluation["accuracy"] > 0.6  # chance is 0.33
    assert f"{evaluation['accuracy']:.2%}" in (made / "README.md").read_text()
    assert json.loads((made / "config.json").read_text())["stem"] == "cifar"
    contender = benchmark.other("ResNet-50", "resnet50", "cifar", benchmark.PUBLISHED[1])
    assert contender.accuracy == evaluation["accuracy"]
    assert list(contender.interval) == evaluation["accuracy_interval_95"]
    assert contender.accuracy_source.startswith("measured with compared/resnet50-cifar-stem-reference: ")
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "history.json").write_text(json.dumps([{}, {}, {}, {}]))  # an epoch more than it had
    for stem in ("", "cifar"):
        quoted = benchmark.other("ResNet-50", "resnet50", stem, benchmark.PUBLISHED[1])
        assert (quoted.accuracy, quoted.interval) == (0.93, None)
        assert quoted.accuracy_source.startswith("quoted")


@pytest.mark.parametrize("options,words", [
    (("--network", "nothing"), "There is no network nothing"),
    (("--network", "resnet18", "--weights", "checkpoints/strong"), "are for mobilevit_xxs"),
    (("--network", "resnet18", "--model", '{"stem_channels": 8}'), "are for mobilevit_xxs"),
    (("--stem", "cifar"), "--stem is for another --network"),
])
def test_what_cannot_be_trained_is_said(options, words, folder, tmp_path, capsys):
    assert train.main([*options, "--data", str(folder), "--output", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert words in capsys.readouterr().err


def test_a_network_for_larger_pictures_alone_is_refused_in_a_sentence(folder, tmp_path, monkeypatch, capsys):
    class Larger(Small):
        def forward(self, x):
            raise AssertionError("Wrong image width! Expected 224")  # as torchvision's transformers do

    monkeypatch.setattr(registry, "_of_library", lambda name, num_classes: Larger(num_classes))
    assert train.main(["--network", "vit_b_32", "--data", str(folder), "--output", str(tmp_path / "run")]) == 2
    assert "cannot take a step of 2 image(s) (Wrong image width! Expected 224)" in capsys.readouterr().err


def test_a_network_that_answers_with_more_than_logits_is_refused(folder, tmp_path, monkeypatch, capsys):
    class Auxiliary(Small):
        def forward(self, x):
            return super().forward(x), x

    monkeypatch.setattr(registry, "_of_library", lambda name, num_classes: Auxiliary(num_classes))
    assert train.main(["--network", "googlenet", "--data", str(folder), "--output", str(tmp_path / "run")]) == 2
    assert "googlenet answers with more than logits" in capsys.readouterr().err


def test_a_gate_far_above_zero_has_a_gradient():
    """Its factor is 1 there, by way of an exponential that is infinite."""
    block = Block(4)
    block.gate_and_value.bias.data += 1000
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    block(x).sum().backward()
    assert x.grad.isfinite().all()

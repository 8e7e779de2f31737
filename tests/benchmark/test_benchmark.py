"""Fast variants say what the network says; the benchmark measures what it claims to."""

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import mvit.compat  # noqa: F401
from mvit import MobileViT, mobilevit_xxs
from mvit.benchmark import __main__ as benchmark
from mvit.benchmark import measuring, networks
from mvit.benchmark.costs import count_flops
from mvit.benchmark.measuring import measure
from mvit.benchmark.networks import Contender, contenders
from mvit.benchmark.results import best, fastest, fps_per_core, ratios
from mvit.inference import variants as fast
from mvit.inference.onnx_attention import OPSET, without_copies_for_heads
from mvit.inference.variants import PYTORCH_VARIANTS, VARIANTS, UnavailableError, fold_batchnorm
from mvit.model import CIFAR10_CLASSES
from mvit.networks.registry import build
from mvit.storage.files import CHECKPOINTS, ROOT


def with_statistics(model):
    """BatchNorms that do something: untrained ones are next to nothing."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


NETWORKS = {
    "MobileViT-XXS": mobilevit_xxs,
    "ResNet-50": lambda: build("resnet50"),
    "ResNet-50, CIFAR stem": lambda: build("resnet50", stem="cifar"),
    "timm": lambda: pytest.importorskip("timm", reason="timm is an extra").create_model("mobilevit_xxs"),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request) -> nn.Module:
    return with_statistics(NETWORKS[request.param]())


@pytest.mark.parametrize("variant", sorted(PYTORCH_VARIANTS - {"torch.compile"}))
@torch.inference_mode()
def test_variants_say_the_same(network, variant):
    model, x = network, torch.randn(2, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(x)
    result = VARIANTS[variant](model, x)(x)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())  # left as it was


@pytest.mark.parametrize("variant", ["torch.compile", "ONNX Runtime", "OpenVINO"])
@torch.inference_mode()
def test_variants_that_need_more_say_the_same_or_what_they_need(variant, tiny):
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(3600, 10))
    model = with_statistics({"torch.compile": small, "OpenVINO": MobileViT(tiny)}.get(variant) or mobilevit_xxs())
    x = torch.randn(1, 3, 32, 32)
    try:
        forward = VARIANTS[variant](model, x)
    except UnavailableError as error:
        pytest.skip(str(error))
    torch.testing.assert_close(forward(x), model(x), rtol=1e-4, atol=1e-4)


def test_no_batchnorm_is_left(network):
    folded = fold_batchnorm(network, torch.randn(1, 3, 32, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_flops_of_the_resnets():
    """The forms' known costs: 167 and 2,596 MFLOPs."""
    assert count_flops(build("resnet50")) == pytest.approx(167e6, rel=0.01)
    assert count_flops(build("resnet50", stem="cifar")) == pytest.approx(2596e6, rel=0.01)


class Sleep(nn.Module):
    """Takes a known time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        time.sleep(self.seconds)
        return x.mean((2, 3)) * self.weight


NAMED = {"fast": 0.01, "slow": 0.04}


def test_times_are_what_they_are(monkeypatch):
    monkeypatch.setattr(measuring, "TURN", 1)  # long enough for all repeats of the slow one on a busy machine, too
    calls = []

    class Logged(Sleep):
        def forward(self, x):
            calls.append((self.seconds, len(x)))
            return super().forward(x)

    contestants = [Contender(name, lambda seconds=seconds: Logged(seconds)) for name, seconds in NAMED.items()]
    models, notes = measure(contestants, ["eager", "channels_last"], torch.device("cpu"), rounds=3, repeats=4)
    assert notes == []
    for model in models:
        expected = NAMED[model["name"]]
        assert 1000 * expected <= model["latency_p50_ms"] < 1000 * expected + 6
        assert model["latency_p50_ms"] <= model["latency_p95_ms"]
        assert model["fps"] == pytest.approx(1000 / model["latency_p50_ms"])
        assert model["passes"] == 12
    turns = [seconds for seconds, batch in calls if batch == 1][-4 * len(models):]
    assert len(set(turns)) == 2                             # both within the last round: interleaved
    found = ratios(models)
    assert {(r["kind"], r["per_core"]) for r in found} == set(itertools.product(("PyTorch", "the best of all"),
                                                                                (False, True)))
    assert all(r["against"] == "slow" and 2 < r["ratio"] < 5 for r in found)
    assert best(models, "fast", {"eager"})["fps"] == max(m["fps"] for m in models if m["name"] == "fast"
                                                         and m["variant"] == "eager")
    assert [m["name"] for m in fastest(models)] == ["fast", "slow"]


def test_what_is_not_there_is_noted(monkeypatch):
    def unavailable(model, example):
        raise UnavailableError("no such thing")

    monkeypatch.setitem(fast.VARIANTS, "eager", unavailable)
    models, notes = measure([Contender("a", lambda: Sleep(0))], ["eager", "folded"], torch.device("cpu"), 2, 2)
    assert {m["variant"] for m in models} == {"folded"}
    assert notes == ["eager: no such thing"]
    monkeypatch.setattr(benchmark, "contenders", lambda *_: [Contender("a", lambda: Sleep(0))])
    with pytest.raises(UnavailableError, match="eager: no such thing"):
        benchmark.run(Path("anywhere"), ["eager"], [torch.device("cpu")], quick=True)


def test_command_writes_what_the_page_reads(tmp_path, tiny, capsys, monkeypatch):
    monkeypatch.setattr(measuring, "BATCH", 2)
    monkeypatch.setattr(networks, "CHECKPOINTS", tmp_path)  # where no other network was trained
    MobileViT(replace(tiny, class_names=CIFAR10_CLASSES)).save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "evaluation.json").write_text(json.dumps(
        {"accuracy": 0.75, "accuracy_interval_95": [0.3, 0.95], "images": 4, "split": "made"}))
    output = tmp_path / "benchmark.json"
    assert benchmark.main(["--checkpoint", str(tmp_path / "checkpoint"), "--variant", "folded", "--rounds", "1",
                           "--device", "cpu", "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    names = ["MobileViT", "ResNet-50, torchvision's stem", "ResNet-50, CIFAR stem"]
    assert list(dict.fromkeys(m["name"] for m in result["models"])) == names
    assert {"name", "variant", "params", "flops", "accuracy", "accuracy_source", "fps", "latency_p50_ms",
            "latency_p95_ms", "throughput_64", "peak_memory", "threads"} <= result["models"][0].keys()
    sources = {m["name"]: (m["accuracy"], m["accuracy_source"]) for m in result["models"]}
    assert sources == {names[0]: (0.75, "measured with checkpoint: made"), names[1]: (None, None),
                       names[2]: (0.93, "quoted: published figure")}
    assert {m["name"]: m["accuracy_interval_95"] for m in result["models"]} == dict(
        zip(names, ([0.3, 0.95], None, None), strict=True))
    assert all(m["peak_memory"] > 4 * m["params"] for m in result["models"])
    assert "x the FPS of ResNet-50, CIFAR stem" in capsys.readouterr().out


def test_quick_times_single_pictures_only(tmp_path, tiny, capsys):
    MobileViT(tiny).save_pretrained(tmp_path)
    output = tmp_path / "benchmark.json"
    assert benchmark.main(["--checkpoint", str(tmp_path), "--variant", "eager", "--rounds", "1", "--quick", "--device",
                           "cpu", "--output", str(output)]) == 0
    models = json.loads(output.read_text())["models"]
    assert models[0]["accuracy"] is None  # of other classes than the others are compared by
    assert {(m["throughput_64"], m["peak_memory"]) for m in models} == {(None, None)}
    assert all(m["fps"] > 0 for m in models)


def test_a_compiled_network_can_be_measured():
    """What torch.compile gives back is no plain function: it answers to len() with an error."""
    try:
        models, _ = measure([Contender("small", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))],
                            ["torch.compile"], torch.device("cpu"), rounds=2, repeats=2)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert all(m["fps"] > 0 for m in models) and models[-1]["throughput_64"] > 0


def test_command_says_what_is_wrong_in_a_line(tmp_path, tiny, capsys):
    assert benchmark.main(["--checkpoint", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    MobileViT(tiny).save_pretrained(tmp_path)
    assert benchmark.main(["--checkpoint", str(tmp_path), "--against", "resnet51"]) == 2
    assert "no network resnet51" in capsys.readouterr().err
    assert benchmark.main(["--checkpoint", str(tmp_path), "--against", str(tmp_path), "--against", f"{tmp_path}/"]) == 2
    assert "Two networks would be called" in capsys.readouterr().err


def test_networks_that_are_asked_for_are_compared_too(tmp_path, tiny):
    config = replace(tiny, class_names=CIFAR10_CLASSES)
    for name, more in (("mine", {}), ("larger", {"stem_channels": 8})):
        MobileViT(replace(config, **more)).save_pretrained(tmp_path / name)
    (tmp_path / "larger" / "evaluation.json").write_text(json.dumps(
        {"accuracy": 0.75, "accuracy_interval_95": [0.3, 0.95], "images": 4, "split": "made"}))
    *_, larger, other = contenders(tmp_path / "mine", (str(tmp_path / "larger"), "resnet18"))
    assert (larger.name, larger.accuracy, larger.interval) == ("MobileViT, larger", 0.75, [0.3, 0.95])
    assert larger.build().config.stem_channels == 8
    assert (other.name, other.accuracy) == ("resnet18", None)
    assert other.params > 1e7


def test_per_core_counts_one_thread_alone():
    def record(name: str, variant: str, threads: int, fps: float) -> dict:
        return {"name": name, "variant": variant, "device": "cpu", "threads": threads, "fps": fps}

    models = [record("ours", "frozen", 1, 100), record("ours", "fused", 2, 150), record("other", "frozen", 1, 20),
              record("other", "frozen", 2, 50), record("other", "ONNX Runtime", 1, 40)]
    assert {(r["kind"], r["per_core"]): (r["ratio"], r["ours"], r["theirs"]) for r in ratios(models)} == {
        ("PyTorch", False): (3, "fused", "frozen"), ("PyTorch", True): (5, "frozen", "frozen"),
        ("the best of all", False): (3, "fused", "frozen"), ("the best of all", True): (2.5, "frozen", "ONNX Runtime")}
    assert [fps_per_core(models, name) for name in ("ours", "other")] == [100, 20]


def test_a_turn_of_a_slow_network_is_short(monkeypatch):
    monkeypatch.setattr(measuring, "TURN", 0.05)
    contestants = [Contender(name, lambda seconds=seconds: Sleep(seconds)) for name, seconds in NAMED.items()]
    models, _ = measure(contestants, ["eager"], torch.device("cpu"), rounds=1, repeats=10, batches=False)
    passes = {m["name"]: m["passes"] for m in models}
    assert passes["slow"] == 3 and 3 <= passes["fast"] <= 5


def test_onnx_runtime_is_given_attention_without_copies_for_heads(tiny):
    model, x = MobileViT(tiny).eval(), torch.randn(1, 3, 32, 32)
    try:
        proto = fast.to_onnx(model, x, opset_version=OPSET)
    except UnavailableError as error:
        pytest.skip(str(error))
    before, after = (Counter(node.op_type for node in p.graph.node) for p in (proto, without_copies_for_heads(proto)))
    layers = sum(stage.depth for stage in model.config.stages)
    assert before["Attention"] == after["Attention"] == layers
    assert (before - after)["Transpose"] == (before - after)["Reshape"] == 2 * layers


@torch.inference_mode()
def test_what_cannot_be_fused_is_frozen(monkeypatch, tiny):
    model, x = with_statistics(MobileViT(tiny)), torch.randn(1, 3, 32, 32)

    def fails(*_):
        raise RuntimeError("partition compile failed")

    monkeypatch.setattr(fast, "_AttentionInParts", fails)  # the first thing that fusing does
    with pytest.raises(UnavailableError, match="partition compile failed"):
        fast.fused(model, x)
    assert not torch.jit.onednn_fusion_enabled()  # left as it was
    torch.testing.assert_close(fast.fused_or_frozen(model, x)(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("checkpoint", ["strong", "reference"])
@torch.inference_mode()
def test_fused_shipped_weights_answer_the_same_in_several_threads(checkpoint):
    model = MobileViT.from_pretrained(CHECKPOINTS / checkpoint)
    pictures = torch.randn(32, 1, 3, 32, 32).unbind()
    forward = fast.fused_or_frozen(model, pictures[0])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(torch.inference_mode()(forward), pictures))
    torch.testing.assert_close(torch.cat(answers), model(torch.cat(pictures)), rtol=1e-4, atol=1e-4)


def test_building_a_network_imports_no_compiler():
    program = ("import sys; from mvit import MobileViT; MobileViT.from_pretrained(sys.argv[1]); "
               "sys.exit('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", program, str(CHECKPOINTS / "strong")], cwd=ROOT).returncode == 0

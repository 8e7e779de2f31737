"""What the drawing is told of a picture is what the network computes."""

import base64
import json
import time

import numpy as np
import pytest
import torch

from mvit import MobileViT, MobileViTBlock, MobileViTConfig, StageConfig, fold, unfold
from mvit.benchmark.costs import count_flops
from mvit.data.examples import example_files
from mvit.data.pictures import load_picture, to_network_size
from mvit.explain.attention import attention
from mvit.explain.inside import count_by_part, describe, packed
from mvit.explain.probes import Probes, pooled_features
from mvit.inference.classifier import as_pixels
from mvit.storage.files import CHECKPOINTS

STRONG = CHECKPOINTS / "strong"


@pytest.fixture(scope="module")
def strong():
    return MobileViT.from_pretrained(STRONG)


@pytest.fixture(scope="module")
def seen():
    return to_network_size(load_picture(example_files()[0]), 32)


def unpacked(sent: dict) -> torch.Tensor:
    """As the browser does it."""
    whole = np.frombuffer(base64.b64decode(sent["data"]), f"<u{sent['bits'] // 8}").astype(np.float64)
    rows = whole.reshape(len(sent["low"]), -1)
    values = np.array(sent["low"])[:, None] + np.array(sent["step"])[:, None] * rows
    return torch.from_numpy(values.reshape(sent["shape"])).float()


@pytest.mark.parametrize("bits", [8, 16])
def test_packed_numbers_are_off_by_half_a_step_at_most(bits):
    values = torch.randn(5, 7, 3) * torch.tensor([1e-3, 1, 10, 1e3, 0])[:, None, None]
    sent = packed(values, bits)
    off = (unpacked(sent) - values).abs().flatten(1).amax(1)
    assert (off <= 0.51 * torch.tensor(sent["step"]) + 1e-6 * values.abs().flatten(1).amax(1)).all()


def test_attention_follows_from_the_queries_and_keys_that_are_sent(strong, seen):
    blocks = describe(strong, as_pixels(seen))["blocks"]
    for block, real in zip(blocks, attention(strong, strong.normalize(as_pixels(seen))), strict=True):
        assert block["size"] == list(real.map_size)
        for layer, weights in zip(block["layers"], real.layers, strict=True):
            q, k, _ = unpacked(layer["qkv"]).transpose(2, 3)                        # (P, heads, N, d) each
            mine = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            assert torch.allclose(mine, weights[0], atol=1e-3)


@pytest.mark.parametrize("version", [1, 3])
@torch.inference_mode()
def test_maps_are_the_network_s_and_what_is_added_is_sent_without_its_mean(strong, seen, version):
    """Each block computed once more, part by part, from what it was given."""
    if version == 3:
        strong = MobileViT(MobileViTConfig(block_version=3, stem_residuals=1)).eval()
    data, given = describe(strong, as_pixels(seen)), []
    modules = [module for module in strong.modules() if isinstance(module, MobileViTBlock)]
    handles = [module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])) for module in modules]
    strong(strong.normalize(as_pixels(seen)))
    for handle in handles:
        handle.remove()
    for sent, block, x in zip(data["blocks"], modules, given, strict=True):
        tokens = block.to_tokens(block.local(x))
        sequences = unfold(tokens, 2)
        after = block.encoder.layers(sequences[0])[None]
        added = fold(after - sequences, 2, tokens.shape[2:])[0]
        back = block.to_map(fold(block.encoder.norm(after), 2, tokens.shape[2:]))
        passed_on = block.fuse(torch.cat((x, back), 1)) if version == 1 else (
            x + block.fuse(torch.cat((block.local(x), back), 1)))
        assert sent["fusion"] == {"side": {1: 3, 3: 1}[version], "version": version}
        mean = added.mean((1, 2), keepdim=True)
        for name, values in (("given", x[0]), ("tokens", tokens[0]), ("passed_on", passed_on[0]),
                             ("added", added - mean), ("added_whole", added)):
            norms = values.norm(dim=0)
            assert torch.allclose(unpacked(sent[name]["norms"])[0], norms, atol=1e-3 * norms.max().item())
        channels = unpacked(sent["tokens"]["channels"])
        assert (channels - tokens[0]).abs().max() <= tokens.abs().max() / 120
        whole, rest = added.square().sum(), (added - mean).square().sum()
        assert sent["common"] == pytest.approx((1 - rest / whole).item(), abs=1e-4)


def test_flops_add_up_to_the_benchmark_s(strong):
    counts = count_by_part(strong.config)
    assert sum(counts["stages"]) == counts["flops"] == count_flops(strong)
    assert all(0 < block["attention"] < block["transformer"] for block in counts["blocks"])


def test_probes_and_answer_are_the_network_s(strong, seen):
    probes = Probes.load(STRONG)
    data = describe(strong, as_pixels(seen), probes)
    said = {name: probes.read(name, x) for name, x in pooled_features(strong, as_pixels(seen)).items()}
    for stage in data["stages"][:-1]:
        assert stage["probe"]["answer"] == pytest.approx(said[stage["name"]][0].tolist(), abs=1e-4)
        assert stage["probe"]["accuracy"] == probes.accuracy[stage["name"]]
        assert stage["probe"]["says"] == strong.config.class_names[said[stage["name"]][0].argmax()]
    with torch.inference_mode():
        answer = strong.probabilities(strong(strong.normalize(as_pixels(seen))))[0]
    assert data["answer"] == pytest.approx(answer.tolist(), abs=1e-5)


def test_a_picture_takes_half_a_megabyte_at_most_and_is_described_quickly(strong, seen):
    describe(strong, as_pixels(seen))
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        data = describe(strong, as_pixels(seen))
        times.append(time.perf_counter() - begin)
    print("seconds:", times, "bytes:", len(json.dumps(data)))
    assert len(json.dumps(data)) < 500_000
    assert min(times) < 0.2


@pytest.mark.parametrize(("blocks", "patch_size", "classes"), [(1, 1, 10), (2, 3, 12), (5, 2, 1000), (3, 8, 2)])
def test_networks_of_other_shapes(blocks, patch_size, classes):
    stage = StageConfig(channels=8, dim=8, depth=2, heads=2, stride=1)
    config = MobileViTConfig(stem_channels=4, stages=(stage,) * blocks, head_channels=8, patch_size=patch_size,
                             image_size=16, class_names=tuple(f"class {i}" for i in range(classes)))
    data = describe(MobileViT(config).eval(), torch.randint(256, (1, 3, 16, 16), dtype=torch.uint8))
    assert len(data["blocks"]) == blocks
    assert len(data["classes"]) == min(classes, 10) and data["class_count"] == classes
    assert data["classes"] == [f"class {i}" for i in data["class_indices"]]
    side = -(-16 // patch_size) * patch_size
    assert data["blocks"][0]["size"] == [side, side]
    assert unpacked(data["blocks"][0]["layers"][1]["qkv"]).shape == (3, patch_size**2, side**2 // patch_size**2, 2, 4)
    json.dumps(data, allow_nan=False)

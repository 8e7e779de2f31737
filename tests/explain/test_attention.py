"""Attention taken from the outside: against each library's own forward pass, and maps against their definition."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

import mvit.compat  # noqa: F401  (timm and transformers import torchvision)
from mvit import mobilevit_xxs
from mvit.explain.attention import AXES, BlockAttention, attention, heat_map, rollout


def timm_model(name="mobilevit_xxs"):
    return pytest.importorskip("timm", reason="timm is an extra").create_model(name, num_classes=10)


def transformers_model():
    transformers = pytest.importorskip("transformers", reason="transformers is an extra")
    config = transformers.MobileViTConfig(hidden_sizes=[64, 80, 96], neck_hidden_sizes=[16, 16, 24, 48, 64, 80, 320],
                                          expand_ratio=2.0)
    return transformers.MobileViTModel(config)


MODELS = {"mvit": mobilevit_xxs, "timm": timm_model, "transformers": transformers_model}


def spread(model):
    """Larger weights than untrained ones: maps that do not vanish, and attention that is far from even."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif any(part in name for part in ("qkv", "query", "key")):
            torch.nn.init.normal_(module.weight, std=0.3)
    return model.eval()


@pytest.mark.parametrize("library", MODELS)
@pytest.mark.parametrize("size", [64, 72])  # at 72 some maps do not divide into patches
def test_shapes_and_sums(library, size):
    model = spread(MODELS[library]())
    blocks = attention(model, torch.randn(3, 3, size, size))
    assert len(blocks) == 3
    for block in blocks:
        (h, w), (H, W) = block.patch_size, block.map_size
        for layer in block.layers:
            assert layer.ndim == len(AXES)
            assert layer.shape[:2] == (3, h * w)
            assert layer.shape[3:] == (H * W // (h * w),) * 2
            torch.testing.assert_close(layer.sum(-1), torch.ones_like(layer[..., 0]))


def test_ours_times_values_is_the_attention_s_own_output():
    """What goes into the projection, in the pass of the model itself, is attention times values."""
    model = spread(mobilevit_xxs())
    images = torch.randn(3, 3, 32, 32)
    values, outputs = [], []
    modules = [layer.attention for stage in model.stages for layer in stage[-1].encoder.layers]
    for module in modules:
        module.qkv.register_forward_hook(lambda m, i, o: values.append(o.chunk(3, dim=-1)[2]))
        module.project.register_forward_pre_hook(lambda m, i: outputs.append(i[0]))
    layers = [layer for block in attention(model, images) for layer in block.layers]
    assert len(layers) == len(modules) == len(values)
    for weights, v, output, module in zip(layers, values, outputs, modules, strict=True):
        v = v.unflatten(-1, (module.heads, -1)).transpose(1, 2)              # (B P, heads, N, d / heads)
        product = (weights.flatten(0, 1) @ v).transpose(1, 2).flatten(2)
        assert (product - output).abs().max() < 1e-5


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevit_xs", "mobilevit_s"])
def test_timm_s_block_output_follows_from_it(name, fused):
    """The block's first transformer layer, rebuilt with the attention that was taken, gives what timm's layer gave."""
    model = spread(timm_model(name))
    seen = {}
    for n, module in model.named_modules():
        if type(module).__name__ == "MobileVitBlock":
            module.transformer[0].attn.fused_attn = fused
            module.transformer[0].register_forward_hook(lambda m, i, o, n=n: seen.__setitem__(n, (m, i[0], o)))
    blocks = attention(model, torch.randn(2, 3, 64, 64))
    assert [block.name for block in blocks] == list(seen)
    for block in blocks:
        layer, x, output = seen[block.name]
        attn = layer.attn
        v = attn.qkv(layer.norm1(x)).unflatten(-1, (3, attn.num_heads, -1))[:, :, 2].transpose(1, 2)
        y = x + attn.proj((block.layers[0].flatten(0, 1) @ v).transpose(1, 2).flatten(2))
        y = y + layer.mlp(layer.norm2(y))
        torch.testing.assert_close(y, output, atol=1e-5, rtol=1e-5)


def test_transformers_own_attentions_are_the_same():
    model = spread(transformers_model())
    outputs = {}
    for name, module in model.named_modules():
        if type(module).__name__ == "MobileViTSelfAttention":
            module.register_forward_hook(lambda m, i, o, n=name: outputs.__setitem__(n, (m, i[0], o)))
    blocks = attention(model, torch.randn(2, 3, 64, 64))
    layers = [layer for block in blocks for layer in block.layers]
    assert len(layers) == len(outputs)
    for weights, (module, x, output) in zip(layers, outputs.values(), strict=True):
        v = module.value(x).unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2)
        product = (weights.flatten(0, 1) @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(product, output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("library", MODELS)
def test_places_are_where_the_library_s_unfold_puts_them(library):
    """Change one token before the encoder: what reaches the others, and whom, agrees with token_at."""
    model = spread(MODELS[library]()).double()
    before = attention(model, images := torch.randn(1, 3, 64, 64, dtype=torch.double))[0]
    H, W = before.map_size
    row, column = 5, 2
    from mvit.explain.attention import blocks_of

    parts = blocks_of(model)[before.name]

    def push(module, inputs, output):
        output = output.clone()
        output[:, :, row, column] += torch.randn_like(output[:, :, row, column])
        return output

    handle = parts.to_tokens.register_forward_hook(push)
    after = attention(model, images)[0]
    handle.remove()
    changed = (before.layers[0] - after.layers[0]).abs().amax((0, 2)) > 0        # (P, query patch, key patch)
    position, patch = before.token_at((row + 0.5) * 64 / H, (column + 0.5) * 64 / W, (64, 64))
    assert changed.flatten(1).any(1).nonzero().flatten().tolist() == [position]   # one sequence alone
    assert changed[position, patch].all()                                         # its own row
    assert changed[position, :, patch].all()                                      # and its column in every other's


def test_the_model_is_left_as_it_was():
    model = mobilevit_xxs().train()
    attention(model, torch.randn(1, 3, 32, 32))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(RuntimeError):
        attention(model, torch.randn(1, 4, 32, 32))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_several_threads_may_look_at_once():
    model = mobilevit_xxs().eval()
    images = torch.randn(8, 1, 3, 32, 32)
    expected = [attention(model, image) for image in images]

    def look(i):
        model(images[0])  # somebody who only classifies
        return attention(model, images[i])

    with ThreadPoolExecutor(8) as pool:
        for found, block in zip(pool.map(look, range(8)), expected, strict=True):
            for a, b in zip(found, block, strict=True):
                assert all(map(torch.equal, a.layers, b.layers))


def test_a_model_without_blocks_is_refused():
    class MobileViTBlock(torch.nn.Linear):
        """Of some other library: the name alone is nothing to go by."""

    for model in (torch.nn.Linear(2, 2), MobileViTBlock(2, 2)):
        with pytest.raises(ValueError, match="no MobileViT block in this"):
            attention(model, torch.zeros(1, 2))


# --------------------------------------------------------------------------- maps


@pytest.fixture
def block() -> BlockAttention:
    """Known shapes, random rows: 2 x 2 patches on an 8 x 4 map, 8 patches, 3 heads, 2 layers."""
    layers = tuple(torch.randn(2, 4, 3, 8, 8).softmax(-1) for _ in range(2))
    return BlockAttention("made", (2, 2), (8, 4), layers)


@pytest.mark.parametrize("head", [None, 0, 2])
def test_a_click_colours_only_pixels_of_its_position(block, head):
    size, (row, column) = (32, 32), (13, 27)         # map pixel (3, 3): position (1, 1) of patch (1, 1)
    heat = heat_map(block, size, layer=1, head=head, at=(row, column))
    weights = block.layers[1].mean(2) if head is None else block.layers[1][:, :, head]
    for r in range(32):
        for c in range(32):
            y, x = r // 4, c // 8                    # 32 / 8 and 32 / 4 image pixels a map pixel
            expected = weights[:, 3, 3, (y // 2) * 2 + x // 2] if (y % 2, x % 2) == (1, 1) else torch.zeros(2)
            torch.testing.assert_close(heat[:, r, c], expected)
    torch.testing.assert_close(heat.sum((1, 2)) / 32, torch.ones(2))  # 4 x 8 image pixels a map pixel


def test_mean_over_queries(block):
    mean = heat_map(block, (8, 4))
    weights = block.layers[-1].mean(2)
    for y in range(8):
        for x in range(4):
            key, position = (y // 2) * 2 + x // 2, (y % 2) * 2 + x % 2
            torch.testing.assert_close(mean[:, y, x], weights[:, position, :, key].mean(1))


def test_rollout_by_its_definition(block):
    expected = torch.eye(8)
    for layer in block.layers:
        expected = (0.5 * layer.mean(2) + 0.5 * torch.eye(8)) @ expected
    torch.testing.assert_close(rollout(block), expected)
    torch.testing.assert_close(rollout(block).sum(-1), torch.ones(2, 4, 8))
    first = replace(block, layers=block.layers[:1])
    torch.testing.assert_close(rollout(first), 0.5 * block.layers[0].mean(2) + 0.5 * torch.eye(8))
    torch.testing.assert_close(heat_map(block, (8, 4), layer="rollout", at=(0, 0))[:, 0, 0], expected[:, 0, 0, 0])
    with pytest.raises(ValueError, match="no head to choose"):
        heat_map(block, (8, 4), layer="rollout", head=1)


@pytest.mark.parametrize("at", [(-1, 0), (0, 32), (32, 0)])
def test_a_place_outside_is_refused(block, at):
    with pytest.raises(ValueError, match="lies outside an image of 32 x 32"):
        heat_map(block, (32, 32), at=at)

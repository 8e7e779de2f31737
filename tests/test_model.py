"""The network against its definition: the paper's block written out in loops, and a count by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from mvit import (
    InvertedResidual,
    MobileViT,
    MobileViTBlock,
    MobileViTConfig,
    StageConfig,
    TransformerEncoder,
    fold,
    mobilevit_xxs,
    unfold,
)
from mvit.benchmark.costs import count_flops, count_parameters
from mvit.model import GlobalAveragePool

# --------------------------------------------------------------------------- unfold and fold


@pytest.mark.parametrize("batch", [1, 3, 5])
@pytest.mark.parametrize("patch", [1, 2, 4, (2, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fold_is_the_exact_inverse_of_unfold(batch, patch, layout):
    x = torch.randn(batch, 6, 8, 12).to(memory_format=layout)
    assert torch.equal(fold(unfold(x, patch), patch, (8, 12)), x)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 2), (4, 4), (2, 4)])
def test_unfold_puts_each_pixel_where_the_paper_says(h, w):
    B, d, H, W = 3, 5, 8, 12
    x = torch.randn(B, d, H, W)
    y = unfold(x, (h, w))
    assert y.shape == (B, h * w, H * W // (h * w), d)
    for row in range(H):
        for column in range(W):
            position = (row % h) * w + column % w
            patch = (row // h) * (W // w) + column // w
            assert torch.equal(y[:, position, patch], x[:, :, row, column])


def test_unfold_and_fold_refuse_what_does_not_divide():
    with pytest.raises(ValueError, match="7 x 8 map does not divide into 2 x 2"):
        unfold(torch.zeros(1, 3, 7, 8), 2)
    with pytest.raises(ValueError, match="do not make up a 8 x 8 map"):
        fold(torch.zeros(1, 4, 15, 3), 2, (8, 8))


# --------------------------------------------------------------------------- blocks


def reference_conv_bn_silu(layers, x):
    """A convolution by its definition, one output pixel at a time, then BatchNorm with its running statistics."""
    conv, bn = layers[0], layers[1]
    k = conv.kernel_size[0]
    B, _, H, W = x.shape
    padded = torch.zeros(B, x.shape[1], H + k - 1, W + k - 1, dtype=x.dtype)
    padded[:, :, k // 2 : k // 2 + H, k // 2 : k // 2 + W] = x
    y = torch.empty(B, conv.out_channels, H, W, dtype=x.dtype)
    for row in range(H):
        for column in range(W):
            window = padded[:, :, row : row + k, column : column + k]
            window = window[:, :, None] if conv.groups > 1 else window[:, None]  # each channel on its own, or all
            y[:, :, row, column] = (window * conv.weight).sum((2, 3, 4))
    for c in range(conv.out_channels):
        y[:, c] = (y[:, c] - bn.running_mean[c]) / (bn.running_var[c] + bn.eps).sqrt() * bn.weight[c] + bn.bias[c]
    return y / (1 + torch.exp(-y))


def reference_norm(norm, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def reference_attention(attention, x):
    """One sequence (N, d): every head, query and key in its own loop."""
    N, d = x.shape
    size = d // attention.heads
    q, k, v = (x @ attention.qkv.weight.T + attention.qkv.bias).split(d, dim=-1)
    y = torch.zeros_like(x)
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        for query in range(N):
            scores = torch.stack([(q[query, part] * k[key, part]).sum() / math.sqrt(size) for key in range(N)])
            weights = torch.exp(scores) / torch.exp(scores).sum()
            for key in range(N):
                y[query, part] += weights[key] * v[key, part]
    return y @ attention.project.weight.T + attention.project.bias


def reference_block(block, x):
    """Section 3.1 of the paper, patch by patch, sequence by sequence."""
    B, _, H, W = x.shape
    p = block.patch_size
    y = reference_conv_bn_silu(block.local, x)
    tokens = torch.einsum("dc,bchw->bdhw", block.to_tokens.weight[:, :, 0, 0], y)
    for b in range(B):
        for i in range(p):
            for j in range(p):
                sequence = torch.stack([tokens[b, :, r, c] for r in range(i, H, p) for c in range(j, W, p)])
                for layer in block.encoder.layers:
                    normed = reference_norm(layer.attention_norm, sequence)
                    sequence = sequence + reference_attention(layer.attention, normed)
                    hidden = reference_norm(layer.mlp_norm, sequence) @ layer.mlp[0].weight.T + layer.mlp[0].bias
                    hidden = hidden / (1 + torch.exp(-hidden))
                    sequence = sequence + hidden @ layer.mlp[2].weight.T + layer.mlp[2].bias
                sequence = reference_norm(block.encoder.norm, sequence)
                places = [(r, c) for r in range(i, H, p) for c in range(j, W, p)]
                for token, (r, c) in zip(sequence, places, strict=True):
                    tokens[b, :, r, c] = token
    global_ = reference_conv_bn_silu(block.to_map, tokens)
    if block.version == 3:  # arXiv 2209.15159, section 3.1
        return x + reference_conv_bn_silu(block.fuse, torch.cat((y, global_), dim=1))
    return reference_conv_bn_silu(block.fuse, torch.cat((x, global_), dim=1))


def randomise(module):
    """Weights and statistics under which no part of the computation is near zero or one."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor) * 0.3)


@pytest.mark.parametrize(("patch", "H", "W", "version"), [(2, 6, 4, 1), (1, 2, 3, 1), (4, 8, 4, 1), (2, 6, 4, 3)])
@torch.no_grad()
def test_block_equals_the_paper_written_out_in_loops(patch, H, W, version):
    block = MobileViTBlock(6, 8, depth=2, heads=2, patch_size=patch, version=version).double().eval()
    randomise(block)
    x = torch.randn(2, 6, H, W, dtype=torch.double)
    torch.testing.assert_close(block(x), reference_block(block, x), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_block_resizes_a_map_that_does_not_divide():
    block = MobileViTBlock(6, 8, depth=1, heads=2, patch_size=2).double().eval()
    randomise(block)
    x = torch.randn(2, 6, 5, 7, dtype=torch.double)
    resized = F.interpolate(block.to_tokens(block.local(x)), (6, 8), mode="bilinear")
    y = F.interpolate(fold(block.encoder(unfold(resized, 2)), 2, (6, 8)), (5, 7), mode="bilinear")
    expected = block.fuse(torch.cat((x, block.to_map(y)), 1))
    torch.testing.assert_close(block(x), expected)
    assert block(x).shape == x.shape


@torch.no_grad()
def test_attention_reaches_only_pixels_of_the_same_position():
    encoder = TransformerEncoder(8, depth=2, heads=2).eval()
    randomise(encoder)
    x = torch.randn(1, 8, 8, 8)
    changed = x.clone()
    changed[0, :, 2, 5] += torch.randn(8)  # position (0, 1) of its patch
    different = (fold(encoder(unfold(x, 2)), 2, (8, 8)) != fold(encoder(unfold(changed, 2)), 2, (8, 8))).any(1)[0]
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[0::2, 1::2] = True
    assert torch.equal(different, expected)


def test_global_average_pool():
    x = torch.randn(2, 8, 5, 3).to(memory_format=torch.channels_last).requires_grad_()
    y = GlobalAveragePool()(x)
    torch.testing.assert_close(y, x.mean((2, 3), keepdim=True))
    orders = []
    x.register_hook(lambda gradient: orders.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, (2 * y / 15).expand_as(x))
    assert orders == [True]


@torch.no_grad()
def test_inverted_residual():
    assert InvertedResidual(8, 12, stride=2)(torch.randn(2, 8, 9, 6)).shape == (2, 12, 5, 3)
    block = InvertedResidual(8, 8).eval()
    randomise(block)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x + block.project(block.depthwise(block.expand(x))))
    assert not any(isinstance(layer, torch.nn.SiLU) for layer in block.project)  # a linear bottleneck


# --------------------------------------------------------------------------- the network


def test_size_of_the_network():
    model = mobilevit_xxs()
    assert 400_000 <= count_parameters(model) <= 444_999
    assert count_flops(model) <= 80e6


@pytest.mark.parametrize("size", [32, 40, 33, 64])
def test_shapes(size):
    model = mobilevit_xxs().eval()
    assert model(torch.randn(3, 3, size, size)).shape == (3, 10)


def test_every_block_has_a_map_of_at_least_4_x_4():
    model, sizes = mobilevit_xxs().eval(), []
    for module in model.modules():
        if isinstance(module, MobileViTBlock):
            module.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-2:]))
    model(torch.randn(1, 3, 32, 32))
    assert len(sizes) == 3
    assert all(min(size) >= 4 for size in sizes)


@pytest.mark.parametrize("changes", [{}, {"block_version": 3, "stem_residuals": 2}])
def test_flops_equal_a_count_by_hand(changes):
    config = MobileViTConfig(**changes)
    macs, size, c = 0, 32, config.stem_channels
    macs += size**2 * 9 * 3 * c
    macs += config.stem_residuals * size**2 * config.expansion * c * (c + 9 + c)
    for stage in config.stages:
        for i in range(stage.inverted_residuals):
            hidden, before = c * config.expansion, size
            size //= stage.stride if i == 0 else 1
            macs += before**2 * c * hidden + size**2 * 9 * hidden + size**2 * hidden * stage.channels
            c = stage.channels
        pixels, d, patches = size**2, stage.dim, size**2 // config.patch_size**2
        local = config.kernel_size**2 * c * (c if config.block_version == 1 else 1)
        macs += pixels * (local + c * d)                                                    # local
        attention = 3 * d * d + 2 * patches * d + d * d                                     # qkv, q k^T and a v, output
        macs += pixels * stage.depth * (attention + 2 * d * int(d * stage.mlp_ratio))       # transformer
        kernel_size = config.kernel_size if config.block_version == 1 else 1
        macs += pixels * (d * c + kernel_size**2 * 2 * c * c)                               # fusion
    macs += size**2 * c * config.head_channels + config.head_channels * len(config.class_names)
    assert count_flops(MobileViT(config)) == 2 * macs


def test_normalised_images_have_the_statistics_they_should():
    model = MobileViT(MobileViTConfig(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3)))
    image = torch.tensor([51, 102, 153], dtype=torch.uint8).view(1, 3, 1, 1)  # the mean itself
    torch.testing.assert_close(model.normalize(image), torch.zeros(1, 3, 1, 1))
    brighter = torch.tensor([102, 204, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(model.normalize(brighter), torch.tensor([2.0, 2.0, 4 / 3]).view(1, 3, 1, 1))


def test_overfits_32_images():
    """All 32 right within ten steps: gradients reach what they must."""
    model = mobilevit_xxs().train()
    images, labels = torch.randn(32, 3, 32, 32), torch.arange(32) % 10
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert (model(images).argmax(1) == labels).all()


@pytest.mark.parametrize("wrong", [
    {"stages": ({"channels": 8, "dim": 9, "depth": 1},)},
    {"class_names": ()},
    {"std": (1.0, 0.0, 1.0)},
    {"stem_channels": 10**9},
    {"stem_channels": "16"},
    {"stages": ({"channels": 8, "dim": 8, "depth": 0},)},
])
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        MobileViT(MobileViTConfig(**wrong))


def test_stages_may_come_from_json():
    assert MobileViTConfig(stages=[{"channels": 8, "dim": 8, "depth": 1}]).stages == (StageConfig(8, 8, 1),)

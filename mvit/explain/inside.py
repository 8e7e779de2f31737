"""All that goes on inside a network with one picture, as data that a browser draws.

One forward pass is written down: every stage's feature map, every block's tokens with their queries, keys and values
(from which attention follows: softmax(q k^T / sqrt(d)), d the width of a head), what its transformer adds, and what
linear probes read at each depth. Numbers travel as whole ones, 8 bits for a map's channels and 16 for all else, each
row with a scale of its own; the whole is at most about half a megabyte for a network of this project's size.
"""

import base64
import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvit.explain.attention import only_here
from mvit.explain.flops import flops_by_module
from mvit.explain.interventions import attentions_of
from mvit.explain.probes import Probes
from mvit.model import Attention, MobileViT, MobileViTBlock, MobileViTConfig, fold

SHOWN = 10  # classes at most
MOST_NUMBERS = 250_000  # of all maps' channels together; beyond, maps have their norms only
WIDEST = 64  # tokens a side that a stage's map is drawn with; a larger one is averaged

Data = dict[str, Any]


def packed(values: Tensor, bits: int = 16) -> Data:
    """Numbers as base64: row r of the first axis is ``low[r] + step[r] * whole``, off by half a step at most.

    Returns:
        shape, bits, low and step (a number for each row), data: the whole numbers, little-endian, without sign.
    """
    rows = values.detach().float().flatten(1) if values.dim() > 1 else values.detach().float()[None]
    low, high = rows.amin(1), rows.amax(1)
    most = 2**bits - 1
    step = ((high - low) / most).clamp_min(1e-30)
    whole = ((rows - low[:, None]) / step[:, None]).round().clamp(0, most).numpy().astype(f"<u{bits // 8}")
    return {"shape": list(values.shape), "bits": bits, "low": [float(f"{x:.7g}") for x in low.tolist()],
            "step": [float(f"{x:.7g}") for x in step.tolist()], "data": base64.b64encode(whole.tobytes()).decode()}


@torch.inference_mode()
def describe(model: MobileViT, pixels: Tensor, probes: Probes | None = None) -> Data:
    """What the network does with one picture.

    Args:
        pixels: uint8, (1, 3, size, size).
        probes: of this network; others are left out.

    Returns:
        as JSON has it: ``size``, ``picture`` (H, W, 3 bytes), ``classes`` (at most ten, the likeliest; their
        ``class_indices``) of ``class_count``, ``answer`` (their probabilities), ``probes_measured_on`` (in words, which
        images), ``stages`` (stem, stages, head, in order, each with ``name``, ``shape``, ``flops``, ``map``,
        ``probe``), ``blocks`` (see :func:`_block`), ``flops`` (of all), ``attention_flops`` (of all query-key products
        and weighted sums; ``attention_flops_unpatched`` if every token attended to all).
    """
    probes = probes if probes and probes.match(model) else None
    blocks = [module for module in model.modules() if isinstance(module, MobileViTBlock)]
    attentions = [[attention for (b, _), attention in attentions_of(model).items() if b == i]
                  for i in range(len(blocks))]
    seen = _forward(model, pixels, blocks)
    probabilities = model.probabilities(seen[model][1])[0]
    names = model.config.class_names
    chosen = (list(range(len(names))) if len(names) <= SHOWN else
              probabilities.topk(SHOWN).indices.tolist())
    outputs = [seen[model.stem][1][0], *(seen[block][1][0] for block in blocks)]
    counts = count_by_part(model.config)
    channels = sum(4 * output.numel() for output in outputs) <= MOST_NUMBERS
    stages = _stages(outputs, counts["stages"], probes, names, chosen, channels)
    pooled = seen[model.head[-1]][0][0]
    stages.append({"name": "head", "shape": [len(pooled)], "flops": counts["stages"][-1], "map": packed(pooled),
                   "probe": None})
    return {
        "size": model.config.image_size,
        "picture": base64.b64encode(pixels[0].permute(1, 2, 0).contiguous().numpy().tobytes()).decode(),
        "classes": [names[i] for i in chosen],
        "class_indices": chosen,
        "class_count": len(names),
        "answer": _rounded(probabilities[chosen]),
        "probes_measured_on": probes.measured_on if probes else None,
        "stages": stages,
        "blocks": [_block(block, inside, seen, flops, channels)
                   for block, inside, flops in zip(blocks, attentions, counts["blocks"], strict=True)],
        "flops": counts["flops"],
        "attention_flops": sum(flops["attention"] for flops in counts["blocks"]),
        "attention_flops_unpatched": sum(flops["attention"] * block.patch_size**2
                                         for block, flops in zip(blocks, counts["blocks"], strict=True)),
    }


def _stages(outputs: list[Tensor], flops: list[int], probes: Probes | None, names: tuple[str, ...],
            chosen: list[int], channels: bool) -> list[Data]:
    """The stem and the blocks: their feature maps, and what a linear probe says there of the chosen classes."""
    stages: list[Data] = []
    for i, (output, cost) in enumerate(zip(outputs, flops, strict=False)):
        depth, probe = f"block {i}" if i else "stem", None
        if probes:
            said = probes.read(depth, output.mean((1, 2)))
            probe = {"answer": _rounded(said[chosen]), "says": names[int(said.argmax())],
                     "accuracy": probes.accuracy[depth]}
        stages.append({"name": depth, "shape": _shape(output), "flops": cost, "map": _map(output, channels),
                       "probe": probe})
    return stages


def _forward(model: MobileViT, pixels: Tensor, blocks: list[MobileViTBlock]) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """One pass; what went into and came out of the parts that are drawn."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (inputs[0], output)

    parts = [model, model.stem, model.head[-1], *blocks, *(block.encoder.layers for block in blocks),
             *attentions_of(model).values()]
    handles = [part.register_forward_hook(only_here(keep)) for part in parts]
    try:
        model(model.normalize(pixels))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _block(block: MobileViTBlock, attentions: list[Attention], seen: dict[nn.Module, tuple[Tensor, Tensor]],
           flops: Data, channels: bool) -> Data:
    """One block's work: ``patch``, ``size`` of the map that is unfolded, ``layers`` (``qkv``: q, k and v by head; the
    shape is (3, P, N, heads, d)), ``local`` (``side`` of the convolution, and whether it is ``depthwise``), ``fusion``
    (``side`` of its convolution, ``version`` of the block), ``channels`` and ``width`` (C and d), ``given``, ``tokens``
    (before the transformer), ``added`` (by it, without the mean over all tokens), ``added_whole`` (with it), ``common``
    (the share of the squared norms that this mean has), ``passed_on``, ``flops``.
    """
    given, passed_on = seen[block][0][0], seen[block][1][0]
    p = block.patch_size
    size = [math.ceil(side / p) * p for side in given.shape[1:]]
    before, after = (fold(sequences[None], p, (size[0], size[1]))[0] for sequences in seen[block.encoder.layers])
    added = after - before
    mean = added.mean((1, 2), keepdim=True)
    share = mean.square().sum() * added[0].numel() / added.square().sum().clamp_min(1e-30)
    layers = []
    for attention in attentions:
        qkv = torch.stack(attention.queries_keys_values(seen[attention][0]))            # (3, P, heads, N, d)
        layers.append({"qkv": packed(qkv.transpose(2, 3))})
    return {"patch": [p, p], "size": size, "layers": layers, "flops": flops, "common": share.item(),
            "given": _map(given, channels), "tokens": _map(before, channels), "added": _map(added - mean, channels),
            "local": {"side": block.kernel_size, "depthwise": block.version == 3},
            "fusion": {"side": block.fusion_size, "version": block.version},
            "added_whole": _map(added, False), "passed_on": _map(passed_on, channels), "width": len(before),
            "channels": len(given)}


def _map(values: Tensor, channels: bool) -> Data:
    """A feature map (C, H, W): its L2 norms (H, W), and if they are wanted its channels."""
    if max(values.shape[1:]) > WIDEST:
        values = F.adaptive_avg_pool2d(values, WIDEST)
    return {"norms": packed(values.norm(dim=0)[None]), "channels": packed(values, 8) if channels else None}


def _shape(values: Tensor) -> list[int]:
    """(C, H, W) as people say it: H × W × C."""
    C, H, W = values.shape
    return [H, W, C]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


@lru_cache(8)
def count_by_part(config: MobileViTConfig) -> Data:
    """FLOPs of one pass on one picture, 2 for each multiply-accumulate, as :mod:`mvit.benchmark` counts them.

    Returns:
        ``flops``: of all; ``stages``: of stem, stages and head; ``blocks``: of each block its ``convolution`` (the
        local one and to tokens), ``transformer``, in it ``attention`` (products of queries and keys, and weighted sums
        of values), ``fusion`` (back from tokens, and of both maps).
    """
    with torch.device("meta"):
        model = MobileViT(config).eval()
    by_name = flops_by_module(model, config.image_size)
    names = {module: name for name, module in model.named_modules()}

    def of(*modules: nn.Module) -> int:
        return sum(by_name[names[module]] for module in modules)

    blocks = [module for module in model.modules() if isinstance(module, MobileViTBlock)]
    products = [0] * len(blocks)
    for (b, _), attention in attentions_of(model).items():
        products[b] += of(attention) - of(attention.qkv, attention.project)
    return {
        "flops": by_name[""],
        "stages": [of(model.stem), *map(of, model.stages), of(model.head)],
        "blocks": [{"convolution": of(block.local, block.to_tokens), "transformer": of(block.encoder),
                    "attention": inside, "fusion": of(block.to_map, block.fuse)}
                   for block, inside in zip(blocks, products, strict=True)],
    }

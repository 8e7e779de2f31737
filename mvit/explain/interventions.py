"""Experiments on a network's attention: what becomes of an answer when a part is made useless.

Three of them: a layer's attention is made uniform (each token takes the plain mean of its sequence's values), a head is
muted (it gives zeros), a patch of the picture is covered with the mean colour. What the network answers then, for one
picture; and what it costs, over many:

    python -m mvit.interventions checkpoints/strong --data PATH
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mvit.data.images import Split
from mvit.evaluation.accuracy import predict, wilson_interval
from mvit.explain.attention import only_here
from mvit.model import Attention, MobileViT, MobileViTBlock, TransformerLayer
from mvit.storage.formats import Cost, Costs


@dataclass(frozen=True)
class Change:
    """What is done to a network and its picture; numbers count from 0.

    Attributes:
        uniform: (block, layer), where attention is made uniform.
        muted: (block, layer, head), heads that give zeros.
        covered: (row, column, height, width) in pixels of the network's picture, covered with the mean colour.
    """

    uniform: frozenset[tuple[int, int]] = frozenset()
    muted: frozenset[tuple[int, int, int]] = frozenset()
    covered: frozenset[tuple[int, int, int, int]] = frozenset()

    @classmethod
    def read(cls, content: Any, model: MobileViT) -> "Change":
        """The change that somebody asks for, as JSON has it: lists of lists of whole numbers, by kind.

        Raises:
            ValueError: it is none that can be made to this network.
        """
        if not isinstance(content, dict) or not set(content) <= {"uniform", "muted", "covered"}:
            raise ValueError("an experiment is uniform, muted and covered, each a list")
        places: dict[str, Any] = {kind: frozenset(_numbers(content.get(kind, []), length))
                                  for kind, length in (("uniform", 2), ("muted", 3), ("covered", 4))}
        change = cls(**places)
        size = model.config.image_size
        attentions = attentions_of(model)
        if not {place[:2] for place in change.uniform | change.muted} <= set(attentions):
            raise ValueError("there is no such layer in this network")
        if any(head >= attentions[block, layer].heads for block, layer, head in change.muted):
            raise ValueError("there is no such head in this layer")
        if any(max(top + height, left + width) > size for top, left, height, width in change.covered):
            raise ValueError(f"what is covered lies outside the picture of {size} x {size} pixels")
        return change

    @contextmanager
    def made_to(self, model: MobileViT) -> Iterator[None]:
        """While it is entered, this thread's forward passes of the model attend as changed; others' do not."""
        with ExitStack() as stack:
            for place, attention in attentions_of(model).items():
                muted = [head for *where, head in self.muted if tuple(where) == place]
                if place in self.uniform or muted:
                    hook = only_here(_attend_otherwise(place in self.uniform, muted))
                    stack.callback(attention.register_forward_hook(hook).remove)
            yield

    def covering(self, images: Tensor, model: MobileViT) -> Tensor:
        """The uint8 images (B, 3, size, size) with what is covered in the training images' mean colour."""
        images = images.clone()
        for top, left, height, width in self.covered:
            images[..., top : top + height, left : left + width] = model.mean.to(images.dtype)
        return images


def _numbers(places: Any, length: int) -> Iterator[tuple[int, ...]]:
    if not isinstance(places, list) or len(places) > 1024:
        raise ValueError("an experiment's parts are lists")
    for place in places:
        if not isinstance(place, list) or len(place) != length or not all(
                type(number) is int and 0 <= number < 4096 for number in place):
            raise ValueError(f"each place is a list of {length} whole numbers")
        yield tuple(place)


def attentions_of(model: MobileViT) -> dict[tuple[int, int], Attention]:
    """The network's attentions by (block, layer)."""
    blocks = [module for module in model.modules() if isinstance(module, MobileViTBlock)]
    return {(b, i): cast(TransformerLayer, layer).attention
            for b, block in enumerate(blocks) for i, layer in enumerate(block.encoder.layers)}


def _attend_otherwise(uniform: bool, muted: list[int]) -> Callable[..., Any]:
    """A forward hook that puts another output in the place of the attention's own."""
    def hook(attention: Attention, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        (x,) = inputs
        q, k, v = attention.queries_keys_values(x)
        y = v.mean(2, keepdim=True).expand_as(v) if uniform else F.scaled_dot_product_attention(q, k, v)
        y = y.clone()
        y[:, muted] = 0
        changed: Tensor = attention.project(y.transpose(1, 2).flatten(2))
        return changed
    return hook


@torch.inference_mode()
def answer_after(change: Change, model: MobileViT, pixels: Tensor) -> Tensor:
    """(classes,) probabilities for one picture, uint8 (1, 3, size, size), after a change."""
    with change.made_to(model):
        return model.probabilities(model(model.normalize(change.covering(pixels, model))))[0]


# --------------------------------------------------------------------------- what they cost


def measure(model: MobileViT, split: Split) -> Costs:
    """Each experiment's cost on a split's images, whose labels are in the order of the network's classes."""
    right = predict(model, split).argmax(1) == split.labels
    places = list(attentions_of(model).items())

    def cost(change: Change, images: Split = split, **where: int) -> Cost:
        with change.made_to(model):
            after = predict(model, images).argmax(1) == split.labels
        return {**where, "accuracy": after.double().mean().item(), **_difference(right, after)}  # type: ignore

    return {
        "split": split.name,
        "images": len(split),
        "accuracy": right.double().mean().item(),
        "accuracy_interval_95": wilson_interval(int(right.sum()), len(split)),
        "uniform": [cost(Change(uniform=frozenset({(b, i)})), block=b + 1, layer=i + 1) for (b, i), _ in places],
        "uniform_everywhere": cost(Change(uniform=frozenset(place for place, _ in places))),
        "muted": [cost(Change(muted=frozenset({(b, i, head)})), block=b + 1, layer=i + 1, head=head + 1)
                  for (b, i), attention in places for head in range(attention.heads)],
        "covered": [cost(Change(), _one_patch_covered(model, split, side), patch=side) for side in patch_sides(model)],
        "date": date.today().isoformat(),
        "torch": torch.__version__,
    }


def _difference(before: Tensor, after: Tensor) -> dict[str, Any]:
    """The change of accuracy on the same images, with its interval: only images whose answer turned count."""
    n = len(before)
    lost, won = (before & ~after).sum().item(), (~before & after).sum().item()
    change = (won - lost) / n
    half = 1.96 * math.sqrt(max(won + lost - (won - lost) ** 2 / n, 0)) / n
    return {"change": change, "change_interval_95": (change - half, change + half)}


def patch_sides(model: MobileViT) -> list[int]:
    """The sides in pixels of the picture that a block's patches stand for, without repetition."""
    size, sides = model.config.image_size, []
    for stage in model.config.stages:
        size = math.ceil(size / stage.stride)
        sides.append(min(model.config.image_size, round(model.config.patch_size * model.config.image_size / size)))
    return list(dict.fromkeys(sides))


def _one_patch_covered(model: MobileViT, split: Split, side: int) -> Split:
    """Each image with one of its patches, chosen at random (the same each time), in the mean colour."""
    n, size = len(split), model.config.image_size
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(math.ceil(size / side), (2, n, 1, 1), generator=generator) * side
    at = torch.arange(size)
    rows, columns = ((start <= where) & (where < start + side) for start, where in
                     zip(corners, (at[:, None], at[None, :]), strict=True))
    covered = (rows & columns)[:, None]
    return replace(split, images=torch.where(covered, model.mean.to(torch.uint8), split.images))


def as_table(costs: Costs) -> str:
    """The costs for a person to read."""
    def line(what: str, cost: Cost) -> str:
        low, high = cost["change_interval_95"]
        return f"{what:32} {cost['accuracy']:.2%}  {100 * cost['change']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"

    return "\n".join((
        f"{costs['split']}, {costs['images']:,} images: {costs['accuracy']:.2%}; change in percentage points",
        *(line(f"uniform: block {c['block']}, layer {c['layer']}", c) for c in costs["uniform"]),
        line("uniform: everywhere", costs["uniform_everywhere"]),
        *(line(f"muted: block {c['block']}, layer {c['layer']}, head {c['head']}", c) for c in costs["muted"]),
        *(line(f"covered: a patch of {c['patch']} pixels", c) for c in costs["covered"])))

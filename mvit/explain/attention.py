"""What a MobileViT attends to: ours, timm's, or transformers'.

    blocks = attention(model, images)                            # one BlockAttention a MobileViT block
    blocks[1].layers[0]                                          # (batch, pixel in patch, head, query patch, key patch)
    heat = heat_map(blocks[1], layer=0, at=(12, 20), size=(32, 32))   # (batch, 32, 32)

Everybody's block unfolds its map into P sequences of N tokens and hands B x P sequences to an ordinary transformer
(see :func:`mvit.unfold`). That is why a tensor found inside has the shape (B P, heads, N, N), and why a pixel attends
only to those at its own position of the other patches.

The numbers are those of the real forward pass. Where a library computes the softmax itself, it is taken as it comes
by; where it calls fused attention, which keeps no softmax, it is computed from the very q and k of that call.
"""

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from mvit.model import fold

Layer = int | Literal["rollout"]  # one of a block's transformer layers, or all of them
AXES = ("batch", "pixel in patch", "head", "query patch", "key patch")


@dataclass(frozen=True)
class BlockAttention:
    """The attention inside one MobileViT block.

    Attributes:
        name: the block's name in the model, as in ``named_modules``.
        patch_size: (h, w), with P = hw.
        map_size: (H, W) of the map that is unfolded, a multiple of the patch, with N = HW / P.
        layers: for each transformer layer (batch, P, heads, N, N), axes as in ``AXES``; the last one sums to one.
    """

    name: str
    patch_size: tuple[int, int]
    map_size: tuple[int, int]
    layers: tuple[Tensor, ...]

    def token_at(self, row: float, column: float, size: tuple[int, int]) -> tuple[int, int]:
        """Which token a point in an image of ``size`` (height, width) belongs to: (pixel in patch, patch).

        Raises:
            ValueError: the point is outside the image.
        """
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise ValueError(f"({row}, {column}) lies outside an image of {size[0]} x {size[1]}")
        (H, W), (h, w) = self.map_size, self.patch_size
        r, c = int(row * H / size[0]), int(column * W / size[1])
        return (r % h) * w + c % w, (r // h) * (W // w) + c // w


# --------------------------------------------------------------------------- whose block it is


@dataclass(frozen=True)
class _Parts:
    """What there is to know of a block: who makes the map that is unfolded, who attends, the patch's (h, w)."""

    to_tokens: nn.Module
    encoder: nn.Module
    patch_size: tuple[int, int]


# By package and class name, so that neither library need be installed: their blocks are Any to a type checker.
_ADAPTERS: dict[tuple[str, str], Callable[[Any], _Parts]] = {
    ("mvit", "MobileViTBlock"): lambda b: _Parts(b.to_tokens, b.encoder, (b.patch_size, b.patch_size)),
    ("timm", "MobileVitBlock"): lambda b: _Parts(b.conv_1x1, b.transformer, tuple(b.patch_size)),
    ("transformers", "MobileViTLayer"): lambda b: _Parts(b.conv_1x1, b.transformer, (b.patch_height, b.patch_width)),
}


def _adapter(module: nn.Module) -> Callable[[Any], _Parts] | None:
    kind = type(module)
    return _ADAPTERS.get((kind.__module__.partition(".")[0], kind.__name__))


def blocks_of(model: nn.Module) -> dict[str, _Parts]:
    """The model's MobileViT blocks by name, in the order of the forward pass.

    Raises:
        ValueError: it has none.
    """
    found = {name: adapter(module) for name, module in model.named_modules() if (adapter := _adapter(module))}
    if not found:
        raise ValueError(f"there is no MobileViT block in this {type(model).__name__}")
    return found


# --------------------------------------------------------------------------- catching attention as it happens


def only_here(hook: Callable[..., None]) -> Callable[..., None]:
    """A module's hooks fire in every thread that runs it; this makes one fire in the thread that made it alone."""
    here = threading.get_ident()
    return lambda *arguments: hook(*arguments) if threading.get_ident() == here else None


class _Recorder(TorchFunctionMode):
    """While it is entered, keeps every softmax over keys that is computed inside an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: str | None = None
        self.sizes: dict[str, tuple[int, int]] = {}
        self.caught: dict[str, list[Tensor]] = {}

    def __torch_function__(self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if self.inside is not None:
            if function is F.scaled_dot_product_attention:
                self.caught[self.inside].append(_softmax_of(*args, **kwargs))
            elif function in (F.softmax, torch.softmax, Tensor.softmax):
                self.caught[self.inside].append(result)
        return result

    def watch(self, name: str, parts: _Parts) -> list[RemovableHandle]:
        """Hooks that tell which block is at work; returns their handles."""
        def begin(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.inside = name
            self.caught[name] = []

        def end(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
            self.inside = None

        def note_size(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            height, width = output.shape[-2:]
            self.sizes[name] = height, width

        return [parts.to_tokens.register_forward_hook(only_here(note_size)),
                parts.encoder.register_forward_pre_hook(only_here(begin)),
                parts.encoder.register_forward_hook(only_here(end))]


def _softmax_of(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
                is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Tensor:
    """The softmax inside F.scaled_dot_product_attention, from that call's own arguments."""
    if attn_mask is not None or is_causal or enable_gqa:
        raise NotImplementedError("no MobileViT masks its attention or groups its queries")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return (scale * query @ key.transpose(-2, -1)).softmax(-1)


@torch.no_grad()
def attention(model: nn.Module, images: Tensor) -> list[BlockAttention]:
    """Run the model and keep what its MobileViT blocks attend to.

    Args:
        model: a :class:`mvit.MobileViT`; timm's ``mobilevit_xxs``, ``_xs`` or ``_s``; transformers'
            ``MobileViTModel`` or a model around one. It runs in evaluation mode; other threads may use it meanwhile.
        images: (batch, 3, height, width), normalised as this model wants them.

    Returns:
        one :class:`BlockAttention` a block, in the order of the forward pass.

    Raises:
        ValueError: the model has no MobileViT block.
    """
    parts, recorder = blocks_of(model), _Recorder()
    training = [module for module in model.modules() if module.training]  # frozen BatchNorms are not to be among them
    handles = [handle for name in parts for handle in recorder.watch(name, parts[name])]
    try:
        with recorder:
            model.eval()(images)
    finally:
        for module in training:
            module.training = True
        for handle in handles:
            handle.remove()
    blocks = []
    for name, layers in recorder.caught.items():
        (H, W), (h, w) = recorder.sizes[name], parts[name].patch_size
        map_size = (math.ceil(H / h) * h, math.ceil(W / w) * w)  # resized where it does not divide
        blocks.append(BlockAttention(name, (h, w), map_size, tuple(a.unflatten(0, (-1, h * w)) for a in layers)))
    return blocks


# --------------------------------------------------------------------------- attention as a picture


def rollout(block: BlockAttention) -> Tensor:
    """Attention through all layers of a block at once (Abnar & Zuidema, arXiv 2005.00928, section 3).

    Half of what a token becomes in a layer is itself, by the residual; the heads count alike. The product of these
    matrices, from the first layer to the last, says how much of each patch has come to each patch.

    Returns:
        (batch, P, N, N), query patch by key patch; rows sum to one.
    """
    first = block.layers[0]
    total = itself = torch.eye(first.shape[-1], device=first.device, dtype=first.dtype)
    for weights in block.layers:
        total = (weights.mean(2) + itself) / 2 @ total
    return total


def heat_map(block: BlockAttention, size: tuple[int, int], layer: Layer = -1, head: int | None = None,
             at: tuple[float, float] | None = None) -> Tensor:
    """A block's attention in the coordinates of the image.

    Args:
        block: of :func:`attention`.
        size: (height, width) of the image in pixels; (row, column) of ``at`` are in these.
        layer: which layer of the block, or "rollout" for all of them by :func:`rollout`.
        head: which head; None for the mean over heads.
        at: (row, column) in the image: what the token there attends to, as query. None: the mean over all queries.

    Returns:
        (batch, height, width). Over the tokens of the block's feature map, each counted once, the values sum to one for
        a token and to P for the mean over queries. With a token only pixels at its position in the other patches are
        not zero: nothing else is attended to.

    Raises:
        ValueError: ``at`` lies outside the image, or a head is named for the rollout, which has none.
    """
    if layer == "rollout":
        if head is not None:
            raise ValueError("rollout is over the mean of the heads: there is no head to choose")
        weights = rollout(block)
    else:
        weights = block.layers[layer].mean(2) if head is None else block.layers[layer][:, :, head]  # (B, P, N, N)
    if at is None:
        keys = weights.mean(2)                                             # (B, P, N)
    else:
        position, patch = block.token_at(*at, size)
        keys = weights[:, :, patch]                                        # (B, P, N)
        others = torch.arange(keys.shape[1], device=keys.device) != position
        keys = keys.masked_fill(others[:, None], 0)
    pixels = fold(keys[..., None], block.patch_size, block.map_size)       # (B, 1, H, W)
    return F.interpolate(pixels, size, mode="nearest")[:, 0]

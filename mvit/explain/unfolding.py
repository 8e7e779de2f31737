"""The inside of one MobileViT block as pictures: grid, unfolding, attention, folding back.

Everything is composed as an array and enlarged without smoothing, in milliseconds: a click wants its answer now.
"""

import colorsys
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from mvit.explain.attention import BlockAttention, Layer, attention, heat_map, only_here
from mvit.model import MobileViT, MobileViTBlock, fold

SIZE = 640  # pixels; a multiple of 32

# One colour for each position in a patch, row by row: Okabe and Ito's, told apart by the colour-blind too.
POSITION_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))


@dataclass(frozen=True)
class BlockInside:
    """One block's work on one picture.

    Attributes:
        attention: what its tokens attend to.
        given: (C, H, W), the feature map that the block was given.
        tokens: (d, H, W), the feature map that it unfolds.
        added: (d, H, W), what its transformer layers added to the tokens, folded back.
        passed_on: (C, H, W), the feature map after the fusion.
    """

    attention: BlockAttention
    given: Tensor
    tokens: Tensor
    added: Tensor
    passed_on: Tensor


@torch.inference_mode()
def look_inside(model: MobileViT, pixels: Tensor) -> list[BlockInside]:
    """Run one picture, uint8 (1, 3, size, size), and keep what its MobileViT blocks did with it."""
    blocks = {name: module for name, module in model.named_modules() if isinstance(module, MobileViTBlock)}
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept[module] = (inputs[0], output)

    handles = [part.register_forward_hook(only_here(keep)) for block in blocks.values()
               for part in (block, block.to_tokens, block.encoder.layers)]
    try:
        attentions = attention(model, model.normalize(pixels))
    finally:
        for handle in handles:
            handle.remove()
    insides = []
    for seen in attentions:
        block = blocks[seen.name]
        before, after = kept[block.encoder.layers]                                  # (P, N, d)
        added = fold((after - before)[None], seen.patch_size, seen.map_size)[0]
        given, passed_on = kept[block]
        insides.append(BlockInside(seen, given[0], kept[block.to_tokens][1][0], added, passed_on[0]))
    return insides


# --------------------------------------------------------------------------- figures


def grid_figure(seen: Image.Image, block: BlockAttention, lines_only: bool = False) -> Image.Image:
    """The feature map's grid over the picture: each token in the colour of its position in the patch.

    Args:
        seen: the RGB picture that the network was given.
        block: whose feature map.
        lines_only: leave the colours out, for someone who does not know of positions yet.
    """
    pixels = enlarged(seen)
    if not lines_only:
        tint = expand(_position_colours(block))
        pixels = 0.55 * pixels + 0.45 * tint
    _draw_grid(pixels, block)
    return image(pixels)


def unfolding_figure(seen: Image.Image, block: BlockAttention) -> Image.Image:
    """The unfolding: P sequences of N tokens, each token shown as the part of the picture that it stands for.

    A sequence is laid out patch by patch as the patches lie in the picture. One sees P coarse copies of it, and that
    attention, which stays within a sequence, still spans the whole.
    """
    (H, W), (h, w) = block.map_size, block.patch_size
    gap = SIZE // 40
    side = (SIZE - gap * (w - 1)) // w // (W // w) * (W // w)
    pixels = enlarged(seen, side * w)
    figure = np.full((SIZE, SIZE, 3), 128.0)
    colours = position_colours(h * w)
    cell = side * w // W
    for i in range(h):
        for j in range(w):
            tokens = pixels.reshape(H, cell, W, cell, 3)[i::h, :, j::w].copy()       # (H / h, cell, W / w, cell, 3)
            edge = max(1, cell // 12)
            frame = np.ones((cell, cell), bool)
            frame[edge:-edge, edge:-edge] = False
            tokens = np.where(frame[None, :, None, :, None], colours[i * w + j], tokens)
            top, left = i * (side + gap), j * (side + gap)
            figure[top : top + side, left : left + side] = tokens.reshape(side, side, 3)
    return image(figure)


def attention_figure(seen: Image.Image, block: BlockAttention, layer: Layer, head: int | None,
                     at: tuple[int, int] | None, whole_patch: bool = False, size: int = SIZE) -> Image.Image:
    """What a token attends to, as light on the darkened picture; the token itself is framed.

    Args:
        seen: the RGB picture that the network was given.
        block, layer, head, whole_patch: as for :func:`mvit.explain.attention.heat_map`.
        at: (row, column) in the block's feature map; None for the mean over all queries.
        size: side of the figure in pixels.
    """
    H, W = block.map_size
    centre = None if at is None else (at[0] + 0.5, at[1] + 0.5)
    heat = heat_map(block, (H, W), layer, head, centre, whole_patch)[0].numpy()
    share = expand((heat / heat.max())[..., None], size)
    grey = enlarged(seen, size).mean(-1, keepdims=True)
    glow = HEAT[(255 * share[..., 0]).astype(np.uint8)]
    pixels = np.where(share > 0, 0.25 * grey + 0.75 * glow, 0.3 * grey + 20)
    if at is not None:
        _frame(pixels, at, block, size)
    return image(pixels)


def heads_figure(seen: Image.Image, block: BlockAttention, layer: Layer, at: tuple[int, int] | None,
                 whole_patch: bool = False) -> Image.Image:
    """The same for the mean of the heads and for each head, from left to right; for rollout the mean alone."""
    heads = [None] if layer == "rollout" else [None, *range(block.layers[layer].shape[2])]
    side = SIZE // 4
    panels = [np.asarray(attention_figure(seen, block, layer, head, at, whole_patch, side)) for head in heads]
    return image(_side_by_side(panels))


def folding_figure(inside: BlockInside) -> Image.Image:
    """What the global step added: the L2 norm of each token in three feature maps, side by side.

    What the block was given, what its transformer added, what it passes on after the fusion; each panel on its own
    scale, from its smallest norm to its largest.
    """
    panels = (inside.given, inside.added, inside.passed_on)
    return image(_side_by_side([_norms(each, SIZE // 2) for each in panels]))


def overview_figure(panels: list[Image.Image]) -> Image.Image:
    """The whole idea on one sheet: the figures of the walk's last four steps, square, numbered and named."""
    gap = SIZE // 40
    side = (SIZE - gap) // 2
    small = [np.asarray(panel.resize((side, side), Image.Resampling.BOX)) for panel in panels]
    rows = [_side_by_side(small[:2]), _side_by_side(small[2:])]
    figure = image(_side_by_side([row.swapaxes(0, 1) for row in rows]).swapaxes(0, 1))
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(SIZE // 24)
    for i, title in enumerate(WALK[2:]):
        corner = (i % 2 * (side + gap), i // 2 * (side + gap))
        words = f" {i + 1} {title.lower()} "
        draw.rectangle(draw.textbbox(corner, words, font), fill="black")
        draw.text(corner, words, "white", font)
    return figure


# --------------------------------------------------------------------------- words


def shapes(inside: BlockInside) -> str:
    """The block's shapes: feature map, sequences, feature map."""
    (H, W), d = inside.attention.map_size, len(inside.tokens)
    P, N = inside.attention.layers[0].shape[1], inside.attention.layers[0].shape[3]
    return f"{H} × {W} × {d} → {P} × {N} × {d} → {H} × {W} × {d}"


def strongest(block: BlockAttention, layer: Layer, head: int | None, at: tuple[int, int]) -> tuple[int, int, float]:
    """The key with a token's largest attention weight: (row, column) in the feature map, and the weight."""
    heat = heat_map(block, block.map_size, layer, head, (at[0] + 0.5, at[1] + 0.5))[0]
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    return row, column, heat.max().item()


def most_decided(block: BlockAttention) -> tuple[int, int]:
    """The token (row, column) whose attention in the last layer, over all heads, is least uniform."""
    peaks = block.layers[-1].mean(2).amax(-1)                                       # (1, P, N)
    at = fold(peaks[..., None], block.patch_size, block.map_size)[0, 0]
    return divmod(int(at.argmax()), at.shape[1])


WALK_BLOCK = 2  # coarse enough to be drawn, fine enough to mean something
WALK = ("In short", "Feature map", "Patches", "Unfold", "Attend", "Fold")  # the steps of the guided walk


@dataclass(frozen=True)
class Step:
    """One step of the guided walk: a figure, and two sentences with this picture's own numbers."""

    title: str
    figure: Image.Image
    text: str


def guided_walk(seen: Image.Image, inside: BlockInside, confidences: dict[str, float]) -> list[Step]:
    """From pixels to an answer through one block, for someone who has never heard of a patch.

    Args:
        seen: the RGB picture that the network was given.
        inside: the block that is walked through, of :func:`look_inside`.
        confidences: what the network answered.
    """
    block = inside.attention
    (H, W), (h, w), d = block.map_size, block.patch_size, len(inside.tokens)
    P, N = block.layers[-1].shape[1], block.layers[-1].shape[3]
    at = most_decided(block)
    row, column, share = strongest(block, -1, None, at)
    added = inside.added.norm(dim=0)  # as the figure shows it
    most = divmod(int(added.argmax()), W)
    name, confidence = max(confidences.items(), key=lambda item: item[1])
    size = seen.size[0]
    grid, sequences = grid_figure(seen, block), unfolding_figure(seen, block)
    looks = attention_figure(seen, block, -1, None, at)
    steps = [
        (overview_figure([grid, sequences, looks, image(_norms(inside.added, SIZE))]),
         f"If each of {H * W} tokens attended to all of them, each head would compare {(H * W) ** 2:,} pairs of query "
         f"and key. This network cuts its feature map into patches (1), unfolds it into {P} sequences, one for each "
         f"position in the patch (2), lets each token attend within its own, {P * N * N:,} pairs (3), and folds them "
         "back (4)."),
        (grid_figure(seen, block, lines_only=True),
         f"Halfway through the network, {size} × {size} pixels in three colours have become a feature map: {H} × {W} "
         f"tokens of {d} channels each, which say what is there and no longer what it looks like. Follow the block of "
         "the network that works on it."),
        (grid,
         f"The feature map is cut into {N} patches of {h} × {w} tokens. Tokens at the same position in their patch "
         f"have the same colour: {P} positions, {P} colours."),
        (sequences,
         f"Unfolding sorts the {H * W} tokens by colour into {P} sequences of {N}, and each is a coarse copy of "
         f"the whole picture. A token attends within its sequence only, to {N} keys instead of {H * W}; of the tokens "
         "between them it has what convolutions before this brought it from its neighbours."),
        (looks,
         "Now each token, as query, takes a weighted mean over the keys of its colour; here are the attention weights "
         f"of the framed one. The largest, {share:.0%}, goes to row {row + 1}, column {column + 1}; uniform attention "
         f"would give {1 / N:.1%} to each."),
        (folding_figure(inside),
         "Folding puts each token back. Bright is the L2 norm: of what the block was given, of what its transformer "
         "added, of what it passes on after a convolution has merged them; each panel has its own scale. The norms of "
         f"what was added lie between {added.min():.2f} and {added.max():.2f}, the largest in row {most[0] + 1}, "
         f"column {most[1] + 1}. After the last block the network says {name}, {confidence:.0%}."),
    ]
    return [Step(title, *step) for title, step in zip(WALK, steps, strict=True)]


# --------------------------------------------------------------------------- arrays

# Black through violet and orange to pale yellow: brightness grows evenly, so it reads without colour too.
HEAT = 255 * matplotlib.colormaps["inferno"](np.arange(256))[:, :3]


def position_colours(P: int) -> np.ndarray:
    """A colour for each of the positions in a patch, (P, 3): the usual four, or as many hues as there are positions."""
    if P <= len(POSITION_COLOURS):
        return np.array(POSITION_COLOURS[:P], float)
    return np.array([[255 * c for c in colorsys.hsv_to_rgb(i / P, 0.75, 0.9)] for i in range(P)])


def _position_colours(block: BlockAttention) -> np.ndarray:
    (H, W), (h, w) = block.map_size, block.patch_size
    position = (np.arange(H)[:, None] % h) * w + np.arange(W)[None] % w
    colours: np.ndarray = position_colours(h * w)[position]                         # (H, W, 3)
    return colours


def enlarged(seen: Image.Image, size: int = SIZE) -> np.ndarray:
    return np.asarray(seen.resize((size, size), Image.Resampling.NEAREST), dtype=float)


def expand(values: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(H, W, C) to (size, size, C), each value a block."""
    rows, columns = (np.arange(size) * n // size for n in values.shape[:2])
    expanded: np.ndarray = values[rows][:, columns]
    return expanded


def _norms(values: Tensor, size: int) -> np.ndarray:
    """The L2 norm of each token in a feature map, (C, H, W), as (size, size, 3); black the smallest."""
    norms = values.norm(dim=0).numpy()
    share = (norms - norms.min()) / max(np.ptp(norms), 1e-9)
    return expand(HEAT[(255 * share).astype(np.uint8)], size)


def _side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    gap = np.full((len(panels[0]), SIZE // 40, 3), 128.0)
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)


def _draw_grid(pixels: np.ndarray, block: BlockAttention) -> None:
    (H, W), (h, w) = block.map_size, block.patch_size
    size = len(pixels)
    for n, patch, lines in ((H, h, pixels), (W, w, pixels.swapaxes(0, 1))):
        for k in range(1, n):
            half = 2 if k % patch == 0 else 0                                       # patches have the strong lines
            at = k * size // n
            lines[at - half : at + half + 1] = 255 if half else 0.5 * lines[at] + 127


def _frame(pixels: np.ndarray, at: tuple[int, int], block: BlockAttention, size: int) -> None:
    (H, W), width = block.map_size, max(2, size // 160)
    top, bottom = at[0] * size // H, (at[0] + 1) * size // H
    left, right = at[1] * size // W, (at[1] + 1) * size // W
    inner = pixels[top + width : bottom - width, left + width : right - width].copy()
    pixels[top:bottom, left:right] = 255
    pixels[top + width : bottom - width, left + width : right - width] = inner


def image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

"""What the Unfold tab shows, against the network itself and against the definition of a patch."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from mvit import MobileViTBlock, fold, mobilevit_xxs, unfold
from mvit.explain.attention import attention
from mvit.explain.unfolding import (
    HEAT,
    POSITION_COLOURS,
    SIZE,
    WALK,
    attention_figure,
    folding_figure,
    grid_figure,
    guided_walk,
    heads_figure,
    look_inside,
    most_decided,
    position_colours,
    shapes,
    strongest,
    unfolding_figure,
)
from mvit.inference.classifier import as_pixels


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return mobilevit_xxs().eval()


@pytest.fixture(scope="module")
def seen() -> Image.Image:
    """Every pixel another colour."""
    rows, columns = np.mgrid[0:32, 0:32]
    return Image.fromarray(np.stack([8 * rows, 8 * columns, 4 * (rows + columns)], -1).astype(np.uint8))


@pytest.fixture(scope="module")
def insides(model, seen):
    return look_inside(model, as_pixels(seen))


@torch.inference_mode()
def test_what_is_shown_is_what_the_network_computes(model, insides):
    """From the tokens, what was added, and the input: the block's own norm and fusion give the block's own output."""
    blocks = [m for m in model.modules() if isinstance(m, MobileViTBlock)]
    assert len(insides) == len(blocks) == 3
    for inside, block in zip(insides, blocks, strict=True):
        sequences = unfold((inside.tokens + inside.added)[None], 2)
        folded = fold(block.encoder.norm(sequences), 2, inside.attention.map_size)
        output = block.fuse(torch.cat((inside.given[None], block.to_map(folded)), 1))[0]
        torch.testing.assert_close(output, inside.passed_on, atol=1e-5, rtol=1e-4)
        assert torch.equal(block.to_tokens(block.local(inside.given[None].clone()))[0], inside.tokens)


def test_shapes_in_words(insides):
    assert shapes(insides[1]) == "8 × 8 × 64 → 4 × 16 × 64 → 8 × 8 × 64"


def test_attention_is_the_pass_s_own(model, seen, insides):
    for block, inside in zip(attention(model, model.normalize(as_pixels(seen))), insides, strict=True):
        assert all(map(torch.equal, block.layers, inside.attention.layers))


def centre(row, column, cells):
    side = SIZE // cells
    return row * side + side // 2, column * side + side // 2


def test_grid_has_a_colour_for_each_position(seen, insides):
    pixels = np.asarray(grid_figure(seen, insides[1].attention)).astype(float)
    assert pixels.shape == (SIZE, SIZE, 3)
    big = np.asarray(seen).repeat(SIZE // 32, 0).repeat(SIZE // 32, 1)
    for row in range(8):
        for column in range(8):
            y, x = centre(row, column, 8)
            tint = np.array(POSITION_COLOURS[(row % 2) * 2 + column % 2])
            np.testing.assert_allclose(pixels[y, x], 0.55 * big[y, x] + 0.45 * tint, atol=1)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_unfolding_lays_out_each_sequence_patch_by_patch(seen, insides, which):
    block = insides[which].attention
    H, W = block.map_size
    pixels = np.asarray(unfolding_figure(seen, block)).astype(int)
    gap = SIZE // 40
    side = (SIZE - gap) // 2 // (W // 2) * (W // 2)
    cell = side // (W // 2)
    big = np.asarray(seen.resize((2 * side, 2 * side), Image.Resampling.NEAREST)).astype(int)
    for row in range(H):
        for column in range(W):
            i, j, m, n = row % 2, column % 2, row // 2, column // 2        # position in the patch, patch
            y, x = i * (side + gap) + m * cell, j * (side + gap) + n * cell
            middle = cell // 2
            assert (pixels[y + middle, x + middle] == big[row * cell + middle, column * cell + middle]).all()
            assert (pixels[y, x + middle] == POSITION_COLOURS[2 * i + j]).all()   # its frame


def test_attention_lights_only_the_position_s_own_places(seen, insides):
    block = insides[1].attention
    pixels = np.asarray(attention_figure(seen, block, 0, None, (3, 6))).astype(int)
    for row in range(8):
        for column in range(8):
            pixel = pixels[centre(row, column, 8)]
            grey = pixel.max() == pixel.min()
            assert grey != ((row % 2, column % 2) == (1, 0))
    y, x = 3 * SIZE // 8, 6 * SIZE // 8
    assert (pixels[y, x] == 255).all()                                     # the frame
    patch = np.asarray(attention_figure(seen, block, 0, None, (3, 6), whole_patch=True)).astype(int)
    assert all(np.ptp(patch[centre(r, c, 8)]) > 0 for r in range(8) for c in range(8))


def test_strongest_and_most_decided(insides):
    block = insides[1].attention
    weights = block.layers[0].mean(2)[0]                                   # (P, N, N)
    position, query = divmod(int(weights.amax(-1).argmax()), weights.shape[1])
    at = (query // 4 * 2 + position // 2, query % 4 * 2 + position % 2)
    assert most_decided(block) == at
    key = int(weights[position, query].argmax())
    row, column, share = strongest(block, 0, None, at)
    assert (row, column) == (key // 4 * 2 + position // 2, key % 4 * 2 + position % 2)
    assert share == pytest.approx(weights[position, query, key].item())


def test_the_other_figures_have_the_sizes_that_the_page_counts_on(seen, insides):
    block = insides[2].attention
    assert heads_figure(seen, block, 1, (0, 0)).size == (5 * 160 + 4 * 16, 160)
    assert heads_figure(seen, block, "rollout", None).size == (160, 160)
    assert folding_figure(insides[0]).size == (3 * 320 + 2 * 16, 320)


def test_each_map_of_the_folding_has_its_own_scale(insides):
    """Where its vector is shortest a map is black, where it is longest it is the last colour."""
    pixels = np.asarray(folding_figure(insides[1])).astype(int)
    for i, values in enumerate((insides[1].given, insides[1].added, insides[1].passed_on)):
        lengths = values.norm(dim=0)
        for where, colour in ((lengths.argmin(), HEAT[0]), (lengths.argmax(), HEAT[-1])):
            row, column = divmod(int(where), 8)
            np.testing.assert_allclose(pixels[row * 40 + 20, i * 336 + column * 40 + 20], colour, atol=1)


def test_the_overview_is_made_of_the_other_figures(seen, insides):
    block = insides[1].attention
    at = most_decided(block)
    pixels = np.asarray(guided_walk(seen, insides[1], {"cat": 1.0})[0].figure).astype(int)
    assert pixels.shape == (SIZE, SIZE, 3)
    folded = np.asarray(folding_figure(insides[1])).astype(int)
    panels = ((0, 0, np.asarray(grid_figure(seen, block))), (0, 328, np.asarray(unfolding_figure(seen, block))),
              (328, 0, np.asarray(attention_figure(seen, block, -1, None, at))), (328, 328, folded[:, 336:656]))
    for top, left, panel in panels:
        y, x = 312 * 13 // 16, 312 * 9 // 16                              # below the words, in the middle of a place
        expected = panel[len(panel) * 13 // 16, len(panel) * 9 // 16]
        np.testing.assert_allclose(pixels[top + y, left + x], expected, atol=2)


def test_the_walk_speaks_of_this_picture(seen, insides):
    steps = guided_walk(seen, insides[1], {"cat": 0.2, "dog": 0.8})
    assert tuple(step.title for step in steps) == WALK
    assert "64 tokens attended to all of them, each head would compare 4,096 pairs" in steps[0].text
    words = "4 sequences, one for each position in the patch (2), lets each token attend within its own, 1,024 pairs"
    assert words in steps[0].text
    assert "8 × 8 tokens of 64 channels" in steps[1].text
    assert "4 sequences of 16" in steps[3].text
    assert all(step.figure.size[0] >= SIZE for step in steps)
    assert "the network says dog, 80%" in steps[5].text
    place = re.search(r"the largest in row (\d), column (\d)", steps[5].text)
    row, column = (int(number) - 1 for number in place.groups())
    assert insides[1].added.norm(dim=0)[row, column] == insides[1].added.norm(dim=0).max()


@pytest.mark.parametrize("P", [1, 4, 9, 16])
def test_every_position_has_a_colour_of_its_own(P):
    colours = position_colours(P)
    assert colours.shape == (P, 3)
    assert len({tuple(colour) for colour in colours.round()}) == P

"""Augmentation against its definition."""

import pytest
import torch

from mvit.data.augmentation import crop_and_flip, cut_out, rand_augment


def test_crop_and_flip_by_its_definition():
    """Pixel by pixel: from the window's place in the image with a black border, mirrored where it should be."""
    B, H, W, padding = 12, 6, 8, 4
    images = torch.randint(1, 256, (B, 3, H, W), dtype=torch.uint8)
    offsets = torch.randint(0, 2 * padding + 1, (B, 2))
    offsets[:4] = torch.tensor([[0, 0], [8, 8], [4, 4], [0, 8]])  # corners and centre
    flips = torch.arange(B) % 2 == 0
    result = crop_and_flip(images, offsets, flips, padding)
    assert result.dtype == torch.uint8
    for b in range(B):
        top, left = offsets[b].tolist()
        for row in range(H):
            for column in range(W):
                r, c = row + top - padding, (W - 1 - column if flips[b] else column) + left - padding
                inside = 0 <= r < H and 0 <= c < W
                expected = images[b, :, r, c] if inside else torch.zeros(3, dtype=torch.uint8)
                assert torch.equal(result[b, :, row, column], expected)


def test_a_centred_window_is_the_image_itself():
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    result = crop_and_flip(images, torch.full((5, 2), 4), torch.zeros(5, dtype=torch.bool))
    assert torch.equal(result, images)
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_cut_out_by_its_definition(side):
    """A square of that side around the centre, as far as it lies in the image, and nothing else."""
    images = torch.randn(4, 3, 8, 6) + 10
    centres = torch.tensor([[4, 3], [0, 0], [7, 5], [0, 5]])
    result = cut_out(images, centres, side)
    for image, blanked, (row, column) in zip(images, result, centres.tolist(), strict=True):
        expected = image.clone()
        top, left = row - side // 2, column - side // 2
        expected[:, max(top, 0):top + side, max(left, 0):left + side] = 0
        assert torch.equal(blanked, expected)
    assert (result[0] == 0).sum() == 3 * side**2


def test_rand_augment_draws_for_each_group_anew():
    """Copies of one picture: alike within a group, not all alike, and the same from the same draw."""
    ramp = torch.arange(32 * 32).view(32, 32) % 251
    image = torch.stack((ramp, ramp.T, 255 - ramp)).to(torch.uint8)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(rand_augment(image.expand(8, 3, 32, 32), 9, groups=4))
    assert torch.equal(*results)
    (changed, _), pairs = results, results[0].unflatten(0, (2, 4)).transpose(0, 1)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert len({pair[0].numpy().tobytes() for pair in pairs}) >= 3
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)

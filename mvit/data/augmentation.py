"""Augmentation of a batch of images at once: crop, flip, cutout, RandAugment.

What is random is drawn outside (but RandAugment's draws), so that a run can repeat an epoch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4  # pixels around an image before it is cropped at random


def crop_and_flip(images: Tensor, offsets: Tensor, flips: Tensor, padding: int = PADDING) -> Tensor:
    """Pad with black, cut a window of the old size, mirror it: each image by its own draw.

    Args:
        images: (B, 3, H, W).
        offsets: int64, (B, 2): the window's top and left in the padded image, 0 to 2 x padding.
        flips: bool, (B,): mirror left and right.
        padding: pixels on each side.

    Returns:
        (B, 3, H, W), of the images' type and device, in channels_last order.
    """
    B, _, H, W = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4)
    columns = torch.arange(W, device=device).expand(B, W)
    columns = torch.where(flips[:, None], columns.flip(1), columns) + offsets[:, 1:]
    rows = torch.arange(H, device=device) + offsets[:, :1]
    batch = torch.arange(B, device=device)
    # Indexed axes come first: (B, H, W, 3), which is channels_last once it is viewed as (B, 3, H, W).
    return padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Blank a square in each image (DeVries & Taylor, arXiv 1708.04552): 0, the mean of normalised images.

    Args:
        images: (B, C, H, W), normalised.
        centres: int64, (B, 2): row and column of the square's centre; it may reach over the edge.
        side: in pixels.
    """
    rows, columns = (
        torch.arange(size, device=images.device) - centres[:, axis : axis + 1] + side // 2
        for axis, size in enumerate(images.shape[-2:])
    )
    inside = [(0 <= along) & (along < side) for along in (rows, columns)]
    return images.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)


def rand_augment(images: Tensor, magnitude: int, groups: int = 97) -> Tensor:
    """Change colours or shape by one of RandAugment's operations (Cubuk et al., arXiv 1909.13719), as torchvision has
    them.

    Args:
        images: uint8, (N, 3, H, W), of many batches.
        magnitude: how much, from 0 to 30.
        groups: parts of the images, each with an operation of its own from torch's global generator: one operation on
            many images is faster than many on one each. Neighbours are in different groups, and no batch whose size
            does not divide by it begins where the one before did.

    Returns:
        uint8, (N, 3, H, W), channels_last.
    """
    import mvit.compat  # noqa: F401, I001 - before torchvision
    from torchvision.transforms import InterpolationMode, v2

    operation = v2.RandAugment(num_ops=1, magnitude=magnitude, interpolation=InterpolationMode.BILINEAR)
    changed = torch.empty_like(images, memory_format=torch.channels_last)
    for group in range(min(groups, len(images))):
        changed[group::groups] = operation(images[group::groups])
    return changed

"""This project's network in other sizes: where accuracy against FLOPs goes, by ``train.py --model NAME``.

In all of them the blocks are MobileViTv3's, and the first layers at full size have an inverted residual: what was
compared is in :func:`mvit.model.mobilevit_xxs`.
"""

from typing import Any


def _size(stem: int, first: tuple[int, int], others: tuple[int, int], head: int) -> dict[str, Any]:
    """Widths of maps and transformers; two inverted residuals wherever the map has just been halved."""
    stages = [(first, 1, 2, 2), (others, 1, 2, 2), (others, 2, 1, 1)]
    return {
        "stem_channels": stem, "stem_residuals": 1, "block_version": 3, "head_channels": head,
        "stages": [{"channels": channels, "dim": dim, "depth": depth, "stride": stride, "inverted_residuals": count}
                   for (channels, dim), depth, stride, count in stages],
    }


# By about how many MFLOPs they take: changes to MobileViTConfig, as config.json has them.
SIZES: dict[str, dict[str, Any]] = {
    "25-mflops": _size(16, (24, 24), (48, 40), 160),
    "50-mflops": _size(24, (40, 40), (64, 56), 192),
    "80-mflops": _size(32, (48, 48), (88, 72), 256),
}

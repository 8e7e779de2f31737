"""This project's network in other sizes, for a curve of accuracy against FLOPs: ``train.py --model NAME``.

What was compared, in three epochs of the quick recipe without cutout and smoothed labels (one seed, JPEG copy of
CIFAR-10): accuracy on 5,000 held-out images, 99 % of them lossless; differences below a percentage point say little.
Stages are written channels/width/layers:

====================================================  ========  ========  ======
block, and where inverted residuals are               M params  MFLOPs    3 ep.
====================================================  ========  ========  ======
the paper's, 32/32/1 64/64/1 64/64/2, one a stage         0.42    78.0    80.4 %
version 3 but for a dense local convolution, the same     0.28    52.9    79.0 %
with one more at 32 x 32, 48/40/1 72/64/1 72/64/2         0.34    79.8    81.3 %
instead one more after each halving, 48/48/1 ...          0.38    82.0    81.7 %
two more at 32 x 32, stem 24, one more at 16 x 16         0.36    87.6    81.5 %
version 3; one more at 32 x 32 and after each halving     0.26    65.6    81.2 %
====================================================  ========  ========  ======

The last has the fewest FLOPs of those above 81 %, so that all sizes are made like it. The size 80-mflops itself has
82.1 % after as many epochs, with a local convolution of 5 x 5 (79.8 MFLOPs) 82.0 %. With residual branches that begin
at zero it had 54.1 % after one epoch instead of 59.1 %, and was not trained on. More blocks at 16 x 16, for which
there must be fewer channels, learn more slowly (the same three epochs; sides of the blocks' maps in pixels):

======================  =========================================  ========  ========  ======
sides                   channels/width/layers                      M params  MFLOPs    3 ep.
======================  =========================================  ========  ========  ======
16, 8, 8 (80-mflops)    48/48/1 88/72/1 88/72/2                        0.34    79.1    82.1 %
16, 16, 8, 8, stem 28   40/40/1 44/40/1 80/72/1 80/72/1                0.29    77.0    81.1 %
16, 16, 8               40/40/1 44/44/1 88/80/1                        0.23    73.1    79.4 %
16, 16, 16              40/36/1 40/36/1 48/36/1                        0.12    73.8    77.3 %
======================  =========================================  ========  ========  ======
"""

from typing import Any


def _size(stem: int, first: tuple[int, int], others: tuple[int, int], head: int) -> dict[str, Any]:
    """Widths of maps and transformers; where a stage halves the map it has two inverted residuals, else one."""
    stages = [(first, 1, 2), (others, 1, 2), (others, 2, 1)]
    return {
        "stem_channels": stem, "stem_residuals": 1, "block_version": 3, "head_channels": head,
        "stages": [{"channels": channels, "dim": dim, "depth": depth, "stride": stride, "inverted_residuals": stride}
                   for (channels, dim), depth, stride in stages],
    }


# By about how many MFLOPs they take: changes to MobileViTConfig, as config.json has them.
SIZES: dict[str, dict[str, Any]] = {
    "25-mflops": _size(16, (24, 24), (48, 40), 160),
    "50-mflops": _size(24, (40, 40), (64, 56), 192),
    "80-mflops": _size(32, (48, 48), (88, 72), 256),
}

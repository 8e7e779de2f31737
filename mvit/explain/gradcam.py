"""Why this answer: where the last feature map speaks for a class (Grad-CAM, Selvaraju et al., arXiv 1610.02391).

    heat = gradcam(model, pixels, model.config.class_names.index("cat"))       # (1, 8, 8)
"""

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mvit.model import MobileViT

SIZE = 320  # pixels a side of the figure
HEAT = 255 * matplotlib.colormaps["inferno"](np.arange(256))[:, :3]
VEIL = 0.6  # how much of the figure is the map's colours; the rest is the picture, in grey


def gradcam(model: MobileViT, pixels: Tensor, label: int) -> Tensor:
    """What each token of the last feature map adds to a class's logit, clipped at zero.

    The map is what the head's convolution gives, the last before everything is averaged. Each of its channels counts by
    the mean of its gradient (the paper's equations 1 and 2). As only an average and a linear layer follow here, what
    all tokens add and take away is the logit without its bias.

    Args:
        model: in evaluation mode.
        pixels: uint8, (B, 3, size, size).
        label: of the class that is asked about.

    Returns:
        (B, H, W), the feature map's height and width; not negative.
    """
    last, rest = model.head[0], model.head[1:]
    with torch.no_grad():
        x = model.stem(model.normalize(pixels))
        for stage in model.stages:
            x = stage(x)
        features = last(x)                                                          # (B, C, H, W)
    with torch.enable_grad():
        features.requires_grad_()
        (gradient,) = torch.autograd.grad(rest(features)[:, label].sum(), features)
    weights = gradient.mean((2, 3), keepdim=True)                                   # (B, C, 1, 1)
    heat: Tensor = (weights * features.detach()).sum(1).relu()
    return heat


def gradcam_figure(seen: Image.Image, heat: Tensor) -> Image.Image:
    """A map (H, W) of :func:`gradcam` over the picture in grey; its largest value has the brightest colour."""
    share = (255 * heat / heat.max().clamp_min(1e-9)).numpy().astype(np.uint8)
    share, grey = (np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.NEAREST))
                   for picture in (Image.fromarray(share), seen))
    return Image.fromarray(blend(grey.mean(-1, keepdims=True), HEAT[share]).astype(np.uint8))


def blend(grey: np.ndarray | float, glow: np.ndarray) -> np.ndarray:
    """The map's colours (..., 3) over grey levels, both from 0 to 255."""
    return (1 - VEIL) * grey + VEIL * glow

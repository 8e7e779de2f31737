"""A yardstick: a convolutional network of 97,530 parameters that is known for its accuracy at that size.

Xvel, "Tiniest Convolutional Network for CIFAR-10" (github.com/xvel/cifar10-tiniest): quoted with 94.4 % of the
canonical test images after 200 epochs. Written anew from its description, to tell what of a difference is the layout's
and what the recipe's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel. (B, C, H, W) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Four quarters of the channels, each filtered at another scale, then a gated MLP at each pixel; residual.

    (B, C, H, W) -> (B, C, H, W). The first quarter stays as it is; the others go through depthwise 3 x 3, 7 x 7, and
    7 x 7 with a dilation of 3 over averages of 3 x 3.

    Args:
        channels: C, a multiple of 4; also the MLP's hidden width.
    """

    def __init__(self, channels: int):
        super().__init__()
        quarter = channels // 4
        self.near = nn.Conv2d(quarter, quarter, 3, padding=1, groups=quarter)
        self.wide = nn.Conv2d(quarter, quarter, 7, padding=3, groups=quarter)
        self.far = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1),
                                 nn.Conv2d(quarter, quarter, 7, padding=9, dilation=3, groups=quarter))
        self.norm = ChannelLayerNorm(channels)
        self.gate_and_value = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))  # of what goes by

    def forward(self, x: Tensor) -> Tensor:
        same, near, wide, far = x.chunk(4, 1)
        filtered = torch.cat([same, self.near(near), self.wide(wide), self.far(far)], 1)
        gate, value = self.gate_and_value(self.norm(filtered)).chunk(2, 1)
        # Above 20 the factor is 1; without a limit its gradient would be zero times infinity.
        mixed: Tensor = self.project(gate * torch.tanh(gate.clamp(max=20).exp()) * value)
        return self.scale * x + mixed


class Tiniest(nn.Module):
    """Three blocks at full resolution and three at half. (B, 3, H, W) -> (B, classes) logits, H and W even."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 48, 3, padding=1), ChannelLayerNorm(48), *(Block(48) for _ in range(3)),
            nn.Conv2d(48, 80, 4, stride=2, padding=1, groups=16), ChannelLayerNorm(80), *(Block(80) for _ in range(3)),
        )
        self.classify = nn.Linear(80, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        logits: Tensor = self.classify(F.avg_pool2d(x, x.shape[-2:]).flatten(1))
        return logits

"""The first layers of a ResNet, as ImageNet or as CIFAR results are obtained with."""

from torch import nn

STEMS = ("imagenet", "cifar")


class UnknownNetworkError(ValueError):
    """There is no such network; the message is one sentence for the person who named it."""


def with_cifar_stem(network: nn.Module, name: str) -> nn.Module:
    """A ResNet with the stem that CIFAR results are obtained with (He et al., arXiv 1512.03385, section 4.2).

    A 7 x 7 convolution of stride 2 and a pooling divide 32 pixels by four before the first block. Here: 3 x 3 of stride
    1 without pooling.
    """
    first = getattr(network, "conv1", None)
    if not isinstance(first, nn.Conv2d) or not hasattr(network, "maxpool"):
        raise UnknownNetworkError(f"{name} has no stem of a ResNet to be exchanged: leave --stem out.")
    network.conv1 = nn.Conv2d(3, first.out_channels, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network

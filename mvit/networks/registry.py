"""Networks by their names, for training and for the benchmark."""

from torch import nn

from mvit.networks.tiniest import Tiniest

STEMS = ("imagenet", "cifar")


class UnknownNetworkError(ValueError):
    """There is no such network; the message is one sentence for the person who named it."""


def build(name: str, num_classes: int = 10, stem: str = "") -> nn.Module:
    """A network with weights drawn at random.

    Args:
        name: "tiniest" (:mod:`mvit.networks.tiniest`), a model of torchvision's, such as "resnet50", or one of timm's,
            such as "timm/mobilevit_xxs".
        num_classes: how many logits it has.
        stem: "imagenet" or nothing: as its library has it. "cifar", of a ResNet: see :func:`with_cifar_stem`.

    Raises:
        UnknownNetworkError: there is none of this name, or with this stem.
        ImportError: timm is not installed.
    """
    network = _of_library(name, num_classes)
    return with_cifar_stem(network, name) if stem == "cifar" else network


def folder_name(network: str, stem: str, recipe: str) -> str:
    """What the checkpoint of another network is called."""
    return f"{network.replace('/', '-')}{'-cifar-stem' if stem == 'cifar' else ''}-{recipe}"


def _of_library(name: str, num_classes: int) -> nn.Module:
    if name == "tiniest":
        return Tiniest(num_classes)
    from mvit.compat import torchvision  # timm imports it too

    if name.startswith("timm/"):
        import timm

        if name.removeprefix("timm/") in timm.list_models():
            network: nn.Module = timm.create_model(name.removeprefix("timm/"), num_classes=num_classes)
            return network
    elif name in torchvision.models.list_models(torchvision.models):
        network = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        return network
    raise UnknownNetworkError(f"There is no network {name}: give the name of one of torchvision's classifiers, such as "
                              "resnet50, or timm/ and the name of one of timm's.")


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

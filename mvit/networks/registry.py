"""Networks by their names, for training and for the benchmark."""

from collections.abc import Callable

import torch
from torch import nn

from mvit.networks.stems import UnknownNetworkError, with_cifar_stem
from mvit.networks.tiniest import Tiniest


def build(name: str, num_classes: int = 10, stem: str = "") -> nn.Module:
    """A network with weights drawn at random.

    Args:
        name: "tiniest" (:mod:`mvit.networks.tiniest`), a model of torchvision's, such as "resnet50", or one of timm's,
            such as "timm/mobilevit_xxs".
        num_classes: how many logits it has.
        stem: "imagenet" or nothing: as its library has it. "cifar", of a ResNet: see
            :func:`mvit.networks.stems.with_cifar_stem`.

    Raises:
        UnknownNetworkError: there is none of this name, or with this stem.
        ImportError: timm is not installed.
    """
    network = _of_library(name, num_classes)
    return with_cifar_stem(network, name) if stem == "cifar" else network


def try_building(make: Callable[[], nn.Module]) -> None:
    """Raise what ``make`` raises, without the time and memory that weights take.

    Torchvision's RegNets look at their weights while they are built: these are made in full.
    """
    try:
        with torch.device("meta"):
            make()
    except NotImplementedError:
        make()


def checkpoint_name(network: str, stem: str, recipe: str) -> str:
    """The folder of another network's checkpoint below ``checkpoints/``: apart from ours, which the page offers."""
    return f"compared/{network.replace('/', '-')}{'-cifar-stem' if stem == 'cifar' else ''}-{recipe}"


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

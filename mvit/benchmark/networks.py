"""Who is compared: our network, the ResNet-50s, others on request, and what was published."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from torch import nn

from mvit.benchmark.costs import count_flops, count_parameters
from mvit.inference.variants import UnavailableError
from mvit.model import CIFAR10_CLASSES, MobileViT
from mvit.storage.files import load_json


class Published(TypedDict):
    """A network's figures as they were published."""

    name: str
    fps: float
    accuracy: float
    params: float
    what: str


# Quoted; the accuracy of MobileViT-XXS is that on its training images after 20 epochs.
PUBLISHED: tuple[Published, Published] = (
    {"name": "MobileViT-XXS", "fps": 162.20, "accuracy": 0.8694, "params": 0.44e6, "what": "training accuracy"},
    {"name": "ResNet-50", "fps": 45.0, "accuracy": 0.93, "params": 23.5e6, "what": "accuracy"},
)


@dataclass
class Contender:
    """A network in the comparison.

    Attributes:
        name: as the table and the chart have it.
        build: makes it, for ten classes and 32 x 32 inputs.
        accuracy: as a fraction, or None where the network is untrained and nobody is quoted for it.
        accuracy_source: where the accuracy is from.
    """

    name: str
    build: Callable[[], nn.Module]
    accuracy: float | None = None
    accuracy_source: str | None = None

    @cached_property
    def params(self) -> int:
        return count_parameters(self.build())

    @cached_property
    def flops(self) -> int:
        return count_flops(self.build())


def resnet50(cifar_stem: bool) -> nn.Module:
    """torchvision's ResNet-50 for ten classes; with the stem that CIFAR results are obtained with, or as it is.

    As it is, a 7 x 7 convolution of stride 2 and a pooling divide 32 pixels by four before the first block. On
    CIFAR a 3 x 3 convolution of stride 1 without pooling is usual (He et al., arXiv 1512.03385, section 4.2).
    """
    from mvit.compat import torchvision

    model: nn.Module = torchvision.models.resnet50(num_classes=10)
    if cifar_stem:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def timm_mobilevit_xxs() -> nn.Module:
    from mvit.compat import torchvision  # noqa: F401  (timm imports it too)

    try:
        import timm
    except ImportError as error:
        raise UnavailableError("timm is not installed: pip install timm") from error
    model: nn.Module = timm.create_model("mobilevit_xxs", num_classes=10)
    return model


def contenders(checkpoint: Path, against: tuple[str, ...] = ()) -> list[Contender]:
    """Ours with its own measured accuracy, the two ResNet-50, and who else is asked for.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    accuracy = source = None
    evaluation = checkpoint / "evaluation.json"
    ours = MobileViT.from_pretrained(checkpoint)
    if ours.config.class_names != CIFAR10_CLASSES:
        source = "none on these classes: it was trained on others"
    elif evaluation.exists():
        measured = load_json(evaluation)
        accuracy, source = measured["accuracy"], f"measured with {checkpoint.name}: {measured['split']}"
    found = [
        Contender(ours.config.name, lambda: copy.deepcopy(ours), accuracy, source),
        Contender("ResNet-50, torchvision's stem", lambda: resnet50(cifar_stem=False)),
        Contender("ResNet-50, CIFAR stem", lambda: resnet50(cifar_stem=True), PUBLISHED[1]["accuracy"],
                  "quoted: published figure"),
    ]
    if "timm" in against:
        found.append(Contender("timm mobilevit_xxs", timm_mobilevit_xxs))
    return found

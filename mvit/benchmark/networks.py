"""Who is compared: our network, the ResNet-50s, others and other checkpoints on request, and what was published."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from torch import nn

from mvit.benchmark.costs import count_flops, count_parameters
from mvit.inference.variants import UnavailableError
from mvit.model import CIFAR10_CLASSES, MobileViT
from mvit.networks.registry import build, checkpoint_name, try_building
from mvit.networks.stems import UnknownNetworkError
from mvit.storage.files import CHECKPOINTS
from mvit.storage.formats import Evaluation
from mvit.storage.records import Records


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
        interval: its 95 % interval; None where it is not measured here.
    """

    name: str
    build: Callable[[], nn.Module]
    accuracy: float | None = None
    accuracy_source: str | None = None
    interval: tuple[float, float] | None = None

    @cached_property
    def params(self) -> int:
        return count_parameters(self.build())

    @cached_property
    def flops(self) -> int:
        return count_flops(self.build())


def measured(contender: Contender, evaluation: Evaluation, checkpoint: str) -> Contender:
    """The same with the accuracy that its checkpoint of this name has."""
    return replace(contender, accuracy=evaluation["accuracy"], interval=evaluation["accuracy_interval_95"],
                   accuracy_source=f"measured with {checkpoint}: {evaluation['split']}")


def other(name: str, network: str, stem: str = "", quoted: Published | None = None) -> Contender:
    """Another network, with the accuracy that it reached here in at least our epochs, else the one that is quoted."""
    def build_it() -> nn.Module:
        try:
            return build(network, stem=stem)
        except ImportError as error:
            raise UnavailableError("timm is not installed: pip install timm") from error
        except UnknownNetworkError as error:
            raise UnavailableError(str(error)) from error

    contender, checkpoint = Contender(name, build_it), checkpoint_name(network, stem, "reference")
    records, epochs = Records.read(CHECKPOINTS / checkpoint), len(Records.read(CHECKPOINTS / "reference").history)
    if records.evaluation and len(records.history) >= epochs:
        return measured(contender, records.evaluation, checkpoint)
    return replace(contender, accuracy=quoted["accuracy"],
                   accuracy_source="quoted: published figure") if quoted else contender


def ours(name: str, model: MobileViT, checkpoint: Path) -> Contender:
    """One of this project's networks, with the accuracy of its checkpoint if that is one on CIFAR-10's classes."""
    contender, evaluation = Contender(name, lambda: copy.deepcopy(model)), Records.read(checkpoint).evaluation
    if model.config.class_names != CIFAR10_CLASSES:
        return replace(contender, accuracy_source="none on these classes: it was trained on others")
    return measured(contender, evaluation, checkpoint.name) if evaluation else contender


def contenders(checkpoint: Path, against: tuple[str, ...] = ()) -> list[Contender]:
    """Ours with its own measured accuracy, the two ResNet-50, and who else is asked for.

    Args:
        checkpoint: the folder of ours.
        against: others, each the folder of a checkpoint or a name that :func:`mvit.networks.registry.build` knows.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        UnavailableError: there is neither folder nor network of a name, or two have one name.
    """
    model = MobileViT.from_pretrained(checkpoint)
    found = [ours(model.config.name, model, checkpoint), other("ResNet-50, torchvision's stem", "resnet50"),
             other("ResNet-50, CIFAR stem", "resnet50", "cifar", PUBLISHED[1])]
    for name in against:
        if Path(name).is_dir():
            model = MobileViT.from_pretrained(name)
            found.append(ours(f"{model.config.name}, {Path(name).name}", model, Path(name)))
        else:
            found.append(other(name.replace("/", " "), name))
            try_building(found[-1].build)  # a name that nothing has is said now, not after minutes
    name, count = Counter(each.name for each in found).most_common(1)[0]
    if count > 1:
        raise UnavailableError(f"Two networks would be called {name}: rename a folder, or name each once.")
    return found

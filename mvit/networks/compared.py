"""Another network in our network's place: with the pixels' mean and deviation, the classes and the temperature."""

from dataclasses import dataclass

from torch import Tensor

from mvit.model import CIFAR10_CLASSES, ImageClassifier, MobileViT
from mvit.networks.registry import build
from mvit.networks.stems import STEMS


@dataclass(frozen=True)
class ComparedConfig:
    """What another network is built from, as its ``config.json`` has it.

    Attributes:
        network, stem: as :func:`mvit.networks.registry.build` takes them.
        class_names, image_size, mean, std, temperature: as in :class:`mvit.model.MobileViTConfig`.

    Raises:
        ValueError: a stem that there is not.
    """

    network: str
    stem: str = ""
    class_names: tuple[str, ...] = CIFAR10_CLASSES
    image_size: int = 32
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    temperature: float = 1.0

    @property
    def name(self) -> str:
        """What the network is called in words."""
        return self.network + (f", {self.stem} stem" if self.stem else "")

    def __post_init__(self) -> None:
        if self.stem not in ("", *STEMS):
            raise ValueError(f"stem must be one of {', '.join(STEMS)}, not {self.stem}")


class Compared(ImageClassifier):
    """Another network, for training and evaluation like :class:`mvit.model.MobileViT`.

    (B, 3, H, W) normalised pictures -> (B, classes) logits.

    Raises:
        UnknownNetworkError, ImportError: as :func:`mvit.networks.registry.build`.
    """

    def __init__(self, config: ComparedConfig):
        super().__init__(config)
        self.config: ComparedConfig
        self.body = build(config.network, len(config.class_names), config.stem)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.body(x)
        if not isinstance(logits, Tensor):  # some of torchvision's have another answer in training
            raise ValueError(f"{self.config.network} answers with more than logits")
        return logits


Network = MobileViT | Compared  # what can be trained here

"""MobileViT-XXS on CIFAR-10: the model, its training, and what is inside it."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mvit.model import (
        CheckpointError,
        InvertedResidual,
        MobileViT,
        MobileViTBlock,
        MobileViTConfig,
        StageConfig,
        TransformerEncoder,
        fold,
        mobilevit_xxs,
        unfold,
    )

__all__ = [
    "CheckpointError", "InvertedResidual", "MobileViT", "MobileViTBlock", "MobileViTConfig", "StageConfig",
    "TransformerEncoder", "fold", "mobilevit_xxs", "unfold",
]

# `python -m mvit.evaluate` finds its module in commands/, so that this folder's top is the network's alone.
__path__.append(str(Path(__file__).parent / "commands"))


def __getattr__(name: str) -> Any:
    """The model's names, when they are asked for: the process that reads pictures does without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("mvit.model"), name)

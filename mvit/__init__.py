"""MobileViT-XXS on CIFAR-10: the model, its training, and what is inside it."""

from pathlib import Path

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

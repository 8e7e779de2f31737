"""MobileViT-XXS on CIFAR-10: the model, its training, and what is inside it."""

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

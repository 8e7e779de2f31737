"""Whether a picture looks like those that the network was trained on.

Its pooled features are compared with those of some training images: the distance to the k-th nearest, each scaled to
length one (Sun et al., arXiv 2204.06507). Beyond a threshold the picture is called unusual. Why this score, and how the
threshold came about: :mod:`mvit.evaluation.familiarity`, which makes both files.
"""

from pathlib import Path

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mvit.model import MobileViT
from mvit.storage.files import read_json, write_json, write_whole
from mvit.storage.formats import FamiliarityRecord

RECORD, BANK = "familiarity.json", "familiarity.safetensors"
NEIGHBOUR = 5  # the distance to which of them counts; of fewer, to the last


def body(model: MobileViT) -> nn.Sequential:
    """All of a network but its last linear layer: (B, 3, H, W) normalised pictures -> (B, C) pooled features."""
    return nn.Sequential(model.stem, *model.stages, *list(model.head)[:-1])


class Familiarity:
    """What a checkpoint's network takes for familiar.

    Attributes:
        bank: (M, C), features of training images, of length one, in half precision.
        record: the threshold, and how it came about.
    """

    def __init__(self, bank: Tensor, record: FamiliarityRecord):
        self.bank, self.record = bank, record
        self._bank = bank.float()

    @classmethod
    def load(cls, checkpoint: Path, model: MobileViT) -> "Familiarity | None":
        """What lies with a checkpoint; None where nothing does that can be read and fits the network."""
        record = read_json(checkpoint / RECORD)
        try:
            threshold, share, bank = record["threshold"], record["test_share"], load_file(checkpoint / BANK)["features"]
        except (OSError, SafetensorError, KeyError, TypeError):
            return None
        numbers = all(isinstance(value, float | int) for value in (threshold, share))
        fits = bank.ndim == 2 and bank.shape[1] == model.config.head_channels and len(bank)
        return cls(bank, record) if numbers and fits else None

    def save(self, checkpoint: Path) -> None:
        content = save({"features": self.bank})  # save_file makes a file that only its owner can read
        write_whole(checkpoint / BANK, lambda part: part.write_bytes(content))
        write_json(checkpoint / RECORD, self.record)

    def unusual(self, features: Tensor) -> Tensor:
        """(N, C) pooled features -> bool, (N,)."""
        return self.distance(features) > self.record["threshold"]

    def distance(self, features: Tensor) -> Tensor:
        """(N, C) pooled features -> (N,), from 0 to 2: how far the bank's k-th nearest is."""
        return neighbour_distance(self._bank, features)


def neighbour_distance(bank: Tensor, features: Tensor) -> Tensor:
    """The distance on the unit sphere from features (N, C) to the k-th nearest of a bank (M, C) that lies on it."""
    similarity = F.normalize(features) @ bank.T
    return (2 - 2 * similarity.topk(min(NEIGHBOUR, len(bank))).values[:, -1]).clamp_min(0).sqrt()

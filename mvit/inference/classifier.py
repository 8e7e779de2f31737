"""A checkpoint at work: one picture in, what the network makes of it out."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mvit.data.pictures import to_network_size
from mvit.inference.familiarity import Familiarity, body
from mvit.inference.variants import fused_or_frozen, to_channels_last
from mvit.model import MobileViT
from mvit.storage.files import read_json
from mvit.storage.formats import ConfidenceBin
from mvit.storage.records import Records


@dataclass(frozen=True)
class Answer:
    """What the network makes of a picture.

    Attributes:
        confidences: the softmax's probability of each class, in the network's order; they sum to one.
        seen: the RGB picture that went into the network, in its size.
        milliseconds: from the network's pixels to probabilities, without reading and resizing the picture.
        reliability: of the evaluation images on which the network was about as confident as here, how many there
            were and what share it had right (a record of ``evaluation.json``); None where that was not measured.
        evaluated_on: in words, which images those were.
        unusual: where the picture looks like nothing that the network was trained on, the share of test images of its
            classes that do so, too; else None, as where that was not measured.
    """

    confidences: dict[str, float]
    seen: Image.Image
    milliseconds: float
    reliability: ConfidenceBin | None
    evaluated_on: str = ""
    unusual: float | None = None

    @property
    def best(self) -> tuple[str, float]:
        """The most likely class and its probability."""
        return max(self.confidences.items(), key=lambda item: item[1])


class Classifier:
    """A checkpoint, loaded once, ready for one picture after another; may be called from several threads.

    Attributes:
        model: the network as it was trained, for looking inside.
        reliability: of ``evaluation.json``, by tenths of confidence.
        familiarity: what it takes for unusual; None where that was not measured.
    """

    def __init__(self, checkpoint: str | Path):
        """Raises :class:`mvit.CheckpointError`, in one sentence, where the files are no checkpoint."""
        self.model = to_channels_last(MobileViT.from_pretrained(checkpoint))
        self.reliability = _read_reliability(Path(checkpoint) / "evaluation.json")
        evaluation = Records.read(Path(checkpoint)).evaluation
        self._evaluated_on = evaluation["split"] if evaluation else ""
        self.familiarity = Familiarity.load(Path(checkpoint), self.model)
        size = self.model.config.image_size
        # Of the variants that need nothing but torch the fastest in mvit.benchmark.measuring; the same to 1e-4.
        self._features = fused_or_frozen(body(self.model), torch.zeros(1, 3, size, size))
        for _ in range(3):
            self(Image.new("RGB", (1, 1)))  # the first passes are slow: they set up what the others reuse

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Answer:
        """Classify an RGB picture of any size."""
        config = self.model.config
        seen = to_network_size(picture, config.image_size)
        begin = time.perf_counter()
        features = self._features(self.model.normalize(as_pixels(seen)))
        probabilities = self.model.probabilities(self.model.head[-1](features))[0].tolist()
        milliseconds = 1000 * (time.perf_counter() - begin)
        near = [r for r in self.reliability if r["confidence_from"] <= max(probabilities) <= r["confidence_to"]]
        confidences = dict(zip(config.class_names, probabilities, strict=True))
        strange = self.familiarity is not None and self.familiarity.unusual(features).item()
        return Answer(confidences, seen, milliseconds, near[-1] if near else None, self._evaluated_on,
                      self.familiarity.record["test_share"] if self.familiarity and strange else None)


def as_pixels(seen: Image.Image) -> torch.Tensor:
    """An RGB picture of the network's size as uint8, (1, 3, size, size)."""
    return torch.from_numpy(np.array(seen)).permute(2, 0, 1)[None]


def _read_reliability(file: Path) -> list[ConfidenceBin]:
    numbers = ("confidence_from", "confidence_to", "images", "accuracy")
    try:
        return [ConfidenceBin(**{name: record[name] + 0 for name in numbers})  # type: ignore[typeddict-item]  # as written
                for record in read_json(file)["reliability"] if record["images"]]
    except (KeyError, TypeError):  # a checkpoint without it is a checkpoint all the same
        return []

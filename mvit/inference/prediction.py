"""Many pictures in, one answer for each out, while no more than a batch of them is in memory."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import torch
from PIL import Image
from torch import Tensor

from mvit.data.decoder import AT_ONCE, Reader
from mvit.data.pictures import PictureError
from mvit.inference.classifier import as_pixels
from mvit.model import MobileViT


@dataclass(frozen=True)
class Prediction:
    """What the network makes of one file.

    Attributes:
        file: its path, as it was given.
        classes: (name, confidence) of the most likely classes, the likeliest first; empty where there is a problem.
        problem: in one sentence, why it could not be read.
    """

    file: str
    classes: tuple[tuple[str, float], ...] = ()
    problem: str | None = None


def predict(model: MobileViT, files: Iterable[str], top: int = 1, batch_size: int = 64) -> Iterator[Prediction]:
    """Classify files, as the page does each: read within its limits, confidences at the network's temperature.

    Args:
        model: in evaluation mode, on the CPU.
        files: paths of pictures, in any number.
        top: how many classes to name; fewer where the network has fewer.
        batch_size: how many pictures are read and classified at once.

    Yields:
        a prediction for each file, in their order, also for those that cannot be read.
    """
    size, names = model.config.image_size, model.config.class_names
    files = iter(files)
    with closing(Reader()) as reader, ThreadPoolExecutor(AT_ONCE) as pool:
        while batch := list(islice(files, batch_size)):
            pictures = list(pool.map(lambda file: _read(reader, file, size), batch))
            seen = [as_pixels(picture) for picture in pictures if isinstance(picture, Image.Image)]
            likeliest = iter(_likeliest(model, torch.cat(seen), top) if seen else ())
            for file, picture in zip(batch, pictures, strict=True):
                if isinstance(picture, PictureError):
                    yield Prediction(file, problem=str(picture))
                else:
                    yield Prediction(file, tuple((names[label], share) for label, share in next(likeliest)))


def _read(reader: Reader, file: str, size: int) -> Image.Image | PictureError:
    try:
        return reader(file, size)
    except PictureError as error:
        return error


@torch.inference_mode()
def _likeliest(model: MobileViT, images: Tensor, top: int) -> list[list[tuple[int, float]]]:
    """Of uint8 images (B, 3, size, size): for each the most likely labels with their probabilities."""
    probabilities = model.probabilities(model(model.normalize(images)))
    shares, labels = probabilities.topk(min(top, probabilities.shape[1]))
    return [list(zip(*pair, strict=True)) for pair in zip(labels.tolist(), shares.tolist(), strict=True)]


# --------------------------------------------------------------------------- as text


def as_text(predictions: Iterable[Prediction], top: int) -> Iterator[str]:
    """A line a file, for a person."""
    for prediction in predictions:
        yield f"{prediction.file}: " + ", ".join(f"{name} {share:.1%}" for name, share in prediction.classes) + "\n"


def as_csv(predictions: Iterable[Prediction], top: int) -> Iterator[str]:
    """The columns' names, then a line a file: file, class, confidence, class_2, confidence_2 and so on."""
    places = ["", *(f"_{place}" for place in range(2, top + 1))]
    yield _csv_line(["file", *(column + place for place in places for column in ("class", "confidence"))])
    for prediction in predictions:
        yield _csv_line([prediction.file, *(value for name, share in prediction.classes
                                            for value in (name, round(share, 6)))])


def _csv_line(values: list[str | float]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def as_json(predictions: Iterable[Prediction], top: int) -> Iterator[str]:
    """One array, with a line a file: {"file": ..., "classes": [{"class": ..., "confidence": ...}, ...]}."""
    before = "[\n"
    for prediction in predictions:
        classes = [{"class": name, "confidence": round(share, 6)} for name, share in prediction.classes]
        yield before + json.dumps({"file": prediction.file, "classes": classes}, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"

"""How good a checkpoint is: ``python -m mvit.evaluate CHECKPOINT --data PATH``."""

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mvit.data import DataError, Split, hold_out, load_split
from mvit.model import CheckpointError, MobileViT
from mvit.picture import FIT, to_network_size


@dataclass(frozen=True)
class Counts:
    """What one pass over a split counted.

    Attributes:
        confusion: int64, (classes, classes): images by true class and predicted class.
        confident: int64, (10, 2): images by the highest probability, in tenths, and by whether it was wrong or right.
        loss: mean cross-entropy, in nats.
    """

    confusion: Tensor
    confident: Tensor
    loss: float

    @property
    def accuracy(self) -> float:
        return self.confusion.diag().sum().item() / self.confusion.sum().item()


@torch.no_grad()
def count(model: MobileViT, split: Split, batch_size: int = 500) -> Counts:
    """Run the network in evaluation mode over a split that lies on its device, without augmentation.

    With torch.distributed every process takes its share of the images and gets the numbers of all of them.
    """
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    classes = len(model.config.class_names)
    device = split.labels.device
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    confident = torch.zeros(10, 2, dtype=torch.int64, device=device)
    loss = torch.zeros((), device=device)
    training = model.training
    model.eval()
    for index in torch.arange(rank, len(split), world_size).split(batch_size):
        labels = split.labels[index]
        logits = model(model.normalize(split.images[index]))
        loss += F.cross_entropy(logits, labels, reduction="sum")
        confidence, predicted = logits.softmax(1).max(1)
        confusion += (labels * classes + predicted).bincount(minlength=classes**2).view(classes, classes)
        tenth = (confidence * 10).long().clamp(max=9)
        confident += (tenth * 2 + (predicted == labels)).bincount(minlength=20).view(10, 2)
    model.train(training)
    if world_size > 1:
        for total in (confusion, confident, loss):
            dist.all_reduce(total)
    return Counts(confusion.cpu(), confident.cpu(), loss.item() / len(split))


def evaluate(model: MobileViT, split: Split) -> dict:
    """Everything that ``evaluation.json`` holds on one split: accuracies as fractions, the loss in nats."""
    counts = count(model, split)
    correct, totals = counts.confusion.diag(), counts.confusion.sum(1)
    names = model.config.class_names
    return {
        "split": split.name,
        "images": len(split),
        "accuracy": counts.accuracy,
        "accuracy_interval_95": wilson_interval(correct.sum().item(), len(split)),
        "loss": counts.loss,
        "class_names": list(names),
        "per_class_accuracy": {
            name: c / n if n else None for name, c, n in zip(names, correct.tolist(), totals.tolist(), strict=True)
        },
        "confusion_matrix": counts.confusion.tolist(),
        "reliability": reliability(counts.confident),
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "device": split.images.device.type,
    }


def reliability(confident: Tensor) -> list[dict]:
    """For each tenth of confidence how many images fell into it, and what share of them was right."""
    return [
        {"confidence_from": i / 10, "confidence_to": (i + 1) / 10, "images": wrong + right,
         "accuracy": right / (wrong + right) if wrong + right else None}
        for i, (wrong, right) in enumerate(confident.tolist())
    ]


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, JASA 22, 1927): how far another set of as many images may fall."""
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def with_classes_of(model: MobileViT, split: Split) -> Split:
    """The split with its labels in the order of the network's classes; they may be fewer.

    Raises:
        DataError: a class that the network does not know.
    """
    unknown = sorted(set(split.class_names) - set(model.config.class_names))
    if unknown:
        raise DataError(f"The network does not know the class {', '.join(unknown)} of the {split.name}.")
    index = torch.tensor([model.config.class_names.index(name) for name in split.class_names])
    return replace(split, class_names=model.config.class_names, labels=index[split.labels])


def cut_and_fit(split: Split, width: int, height: int, how: str) -> Split:
    """The split as if its pictures had been width : height, each around its object, and were fitted to a square again.

    What a picture that is not square loses by centre crop and by letterbox: cut to the aspect, then fitted as on the
    page by :func:`mvit.picture.to_network_size`.
    """
    size = split.images.shape[-1]
    w, h = round(size * min(1, width / height)), round(size * min(1, height / width))
    left, top = (size - w) // 2, (size - h) // 2
    fitted = [
        np.asarray(to_network_size(Image.fromarray(pixels[top : top + h, left : left + w]), size, how))
        for pixels in split.images.permute(0, 2, 3, 1).numpy()
    ]
    images = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2)
    return replace(split, images=images, name=f"{split.name}, cut to {width}:{height}, fitted by {how}")


def as_table(result: dict) -> str:
    """The result for a person to read."""
    low, high = result["accuracy_interval_95"]
    names = result["class_names"]
    width = max(map(len, names))
    lines = [
        f"{result['split']}, {result['images']:,} images",
        f"accuracy  {result['accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%})",
        f"loss      {result['loss']:.4f}",
        "",
        f"{'':{width}}  accuracy   predicted: " + " ".join(f"{name[:5]:>5}" for name in names),
    ]
    for name, row in zip(names, result["confusion_matrix"], strict=True):
        accuracy = result["per_class_accuracy"][name]
        cells = " ".join(f"{count:5d}" for count in row)
        lines.append(f"{name:{width}}  {'-' if accuracy is None else f'{accuracy:.1%}':>8}              {cells}")
    return "\n".join(lines)


def aspect(text: str) -> tuple[int, int]:
    """Two numbers with a colon, as 4:3; anything that is no aspect is a ValueError."""
    width, height = map(int, text.split(":"))
    if min(width, height) < 1:
        raise ValueError("an aspect has two whole numbers above zero")
    return width, height


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.evaluate", description="Measure a checkpoint on images.")
    parser.add_argument("checkpoint", help="folder with model.safetensors and config.json, or a Hub repository")
    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    parser.add_argument("--split", choices=("test", "train", "validation"), default="test")
    parser.add_argument("--validation", metavar="N", type=int, default=2000,
                        help="how many training images were held out, for --split validation (default: %(default)s)")
    parser.add_argument("--aspect", metavar="W:H", type=aspect,
                        help="cut the images to this aspect first, and fit them to a square again by --fit")
    parser.add_argument("--fit", choices=("crop", "letterbox"), default=FIT,
                        help="how they are fitted (default: %(default)s, as on the page)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        split = load_split(options.data, "test" if options.split == "test" else "train", model.config.image_size)
        if options.split == "validation":
            split = hold_out(split, options.validation)[1]
        if options.aspect:
            split = cut_and_fit(split, *options.aspect, options.fit)
        result = evaluate(model, with_classes_of(model, split))
    except (CheckpointError, DataError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if options.json else as_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a run says: as it starts, with each epoch, at its end, and of what stopped it."""

import math
import shlex
from pathlib import Path
from statistics import median
from typing import NoReturn

import torch
import torch.distributed as dist
from tqdm import tqdm

from mvit.data.images import Split
from mvit.storage.formats import Epoch
from mvit.training.output import staging_folder
from mvit.training.settings import OURS, Settings

NAMED_CLASSES = 20  # more are told by their range
FEW_STEPS = 300  # of training from nothing, after which BatchNorm's running statistics are still from its beginning
UNEVEN = 2  # times as many images in the largest class as in the smallest


def start_line(train: Split, watched: Split, device: torch.device, processes: int, settings: Settings) -> str:
    """What a run has to work with: lines for how the images were got, their number, and that of each class.

    Where there are few pictures, also what does better with these.
    """
    images = (f"{len(train):,} images for training ({train.name}), {len(watched):,} to watch ({watched.name}), "
            f"on {device}, {processes} process(es), {torch.get_num_threads()} thread(s) each")
    steps = settings.epochs * math.ceil(len(train) / settings.batch_size)
    few = [] if steps >= FEW_STEPS or settings.weights else [
        f"That is {steps:,} steps of training, few to begin from nothing: a smaller --batch-size or more --epochs make "
        f"more of them{', --recipe finetune begins with trained weights' if settings.network == OURS else ''}."]
    return "\n".join((*train.notes, *watched.notes, images, class_counts(train), *few))


def end_line(checkpoint: Path, data: str | None, settings: Settings) -> str:
    """Where the checkpoint is, and how to see it on the page, which shows our network."""
    if settings.network != OURS:
        return f"Checkpoint: {checkpoint}"
    page = ["python", "demo.py", "--checkpoint", str(checkpoint), *(["--data", data] if data else [])]
    return f"Checkpoint: {checkpoint}\nTo see it: {shlex.join(page)}"


def class_counts(split: Split) -> str:
    """How many images each class has, of many classes the range; and where they are far from even, that they are."""
    sizes = dict(zip(split.class_names, split.labels.bincount(minlength=len(split.class_names)).tolist(), strict=True))
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    counts = (", ".join(f"{name} {size:,}" for name, size in sizes.items()) if len(sizes) <= NAMED_CLASSES else
              f"{len(sizes):,} classes, from {sizes[small]:,} ({small}) to {sizes[large]:,} ({large}), "
              f"median {median(sizes.values()):,.0f}")
    uneven = sizes[large] / max(sizes[small], 1)
    return f"training images by class: {counts}" + (
        f"\nThe classes are uneven: {large} has {uneven:.1f} times the images of {small}. Accuracy says most of the "
        "large classes; that of each class is in evaluation.json." if uneven >= UNEVEN else "")


def epoch_line(history: list[Epoch], epochs: int, watched_as: str) -> str:
    """Of the last of these epochs, and when the run will be over if the next take as long as the last five did."""
    record = history[-1]
    left = (epochs - len(history)) * median(each["seconds"] for each in history[-5:])
    until = f", about {in_words(left)} left" if left else ""
    return (f"epoch {record['epoch']:3d}/{epochs}  train loss {record['train_loss']:.4f} "
            f"accuracy {record['train_accuracy']:.2%}  {watched_as} loss {record[f'{watched_as}_loss']:.4f} "
            f"accuracy {record[f'{watched_as}_accuracy']:.2%}  {record['images_per_second']:.0f} images/s  "
            f"{record['seconds']:.1f} s{until}")


def in_words(seconds: float) -> str:
    """A time, as exact as one needs it: 40 s, 12 min, 3 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def progress_bar(images: int, epoch: int, epochs: int, shown: bool) -> "tqdm[NoReturn]":
    """Counts an epoch's images, on a terminal; in one process of them all."""
    return tqdm(total=images, unit=" images", desc=f"epoch {epoch + 1}/{epochs}", leave=False,
                disable=None if shown else True)


def progress(loss: float, accuracy: float) -> str:
    """Beside the bar: the means of the epoch so far."""
    return f"loss {loss:.4f}, accuracy {accuracy:.1%}"


def cause_outside(error: Exception) -> str | None:
    """What a person may mend, in words; None for an error of the program."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f", {error.filename}" if error.filename else "")
    if isinstance(error, torch.OutOfMemoryError):
        return "the memory of the device is full"
    if isinstance(error, dist.DistError) or "gloo" in str(error):  # gloo has no exception of its own
        return "another of its processes was ended, or does not answer"
    return None


def how_to_go_on(folder: Path) -> str:
    """What is left of a run that ended in an error, and what to do with it."""
    if not (folder / "resume.pt").exists():
        return "Nothing was trained yet."
    weights = staging_folder(folder) / "model.safetensors"
    kept = f"The weights are in {weights.parent}" if weights.exists() else f"What was trained is in {folder}"
    return f"{kept}; the same command with --resume goes on."

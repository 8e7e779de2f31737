"""The images: loaded once into one uint8 tensor; a part held out; their mean and standard deviation.

There are no worker processes. All of CIFAR-10 is 184 MB as bytes; it sits on the training device, and a batch is
one indexing operation.
"""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mvit.data.pictures import PictureError, load_picture, to_network_size
from mvit.model import CIFAR10_CLASSES
from mvit.storage.files import ROOT

CANONICAL_ROOT = ROOT / "data"
LOSSY_SUFFIXES = {".jpg", ".jpeg", ".webp"}
CIFAR10_SIZES = {"train": 50_000, "test": 10_000}


class DataError(Exception):
    """The images cannot be had; the message is one sentence for the person who asked."""


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        name: in words, what these images are.
        class_names: what the labels mean.
        images: uint8, (N, 3, size, size), in channels_last memory order.
        labels: int64, (N,).
        lossless: bool, (N,): stored without loss (PNG and the like, not JPEG).
        files: where each lies, in the folder that was given; for CIFAR-10's own files, which hold many, its number.
    """

    name: str
    class_names: tuple[str, ...]
    images: Tensor
    labels: Tensor
    lossless: Tensor
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Split":
        kept = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index].tolist()
        return replace(self, images=self.images[index], labels=self.labels[index], lossless=self.lossless[index],
                       files=tuple(self.files[i] for i in kept) if self.files else ())

    def to(self, device: torch.device | str) -> "Split":
        return replace(self, **{name: getattr(self, name).to(device) for name in ("images", "labels", "lossless")})

    def fingerprint(self) -> int:
        """A checksum of pixels and labels, to tell whether two runs saw the same images."""
        pixels = self.images.permute(0, 2, 3, 1).contiguous()
        return zlib.crc32(self.labels.numpy().data, zlib.crc32(pixels.numpy().data))


# --------------------------------------------------------------------------- loading


def load_split(path: str | Path | None, split: str, image_size: int = 32) -> Split:
    """Canonical CIFAR-10, or any folder of pictures.

    Args:
        path: None for CIFAR-10 through torchvision, downloaded once into ``data/`` and checked by md5; otherwise a
            folder with ``train/<class>/`` and ``test/<class>/`` (torchvision's ImageFolder layout).
        split: "train" or "test".
        image_size: side in pixels; pictures of another size are fitted as on the page.

    Raises:
        DataError: no such folder, an unreadable picture, no network.
    """
    if path is None and image_size != 32:
        raise DataError(f"CIFAR-10's images have 32 pixels a side; for {image_size} give your own by --data PATH.")
    return _load_canonical(split) if path is None else _load_folder(Path(path), split, image_size)


def load_train_and_test(path: str | Path | None, image_size: int = 32) -> tuple[Split, Split]:
    """Both splits, as :func:`load_split`; also a DataError where their classes differ, or are but one."""
    train, test = (load_split(path, split, image_size) for split in ("train", "test"))
    if train.class_names != test.class_names:
        names = {split: ", ".join(s.class_names) for split, s in (("train", train), ("test", test))}
        raise DataError(f"{path}: train/ has the classes {names['train']}, but test/ has {names['test']}.")
    if len(train.class_names) < 2:
        raise DataError(f"{path}: there is one class only, {train.class_names[0]}; a network is trained to tell at "
                        "least two apart, each in a folder of its own in train/ and in test/.")
    return train, test


def _load_canonical(split: str) -> Split:
    from mvit.compat import torchvision  # here, since it takes a second and the page does without

    try:
        cifar = torchvision.datasets.CIFAR10(CANONICAL_ROOT, train=split == "train", download=True)
    except (OSError, RuntimeError) as error:  # no network, a broken download, a full disk
        raise DataError(
            f"CIFAR-10 is not in {CANONICAL_ROOT} and could not be downloaded ({error}): connect to the internet and "
            "run this again, or give a folder with train/<class>/ and test/<class>/ by --data PATH."
        ) from error
    return _split(f"CIFAR-10 {split} split, canonical pixels", cifar.classes, cifar.data, cifar.targets,
                  np.ones(len(cifar), bool), [f"{split} image {number}" for number in range(len(cifar))])


def _load_folder(path: Path, split: str, image_size: int) -> Split:
    from mvit.compat import torchvision

    def read(file: str) -> np.ndarray:
        return np.asarray(to_network_size(load_picture(file), image_size))

    try:
        folder = torchvision.datasets.ImageFolder(path / split, loader=read)
        images = np.stack([image for image, _ in folder])
    except PictureError as error:
        raise DataError(f"{path / split} holds a file that is no picture: {error}") from error
    except OSError as error:
        raise DataError(
            f"No pictures in {path / split} ({error}): give a folder with train/<class>/ and test/<class>/."
        ) from error
    lossless = np.array([Path(file).suffix.lower() not in LOSSY_SUFFIXES for file, _ in folder.samples])
    size = CIFAR10_SIZES[split]
    source = "CIFAR-10" if tuple(folder.classes) == CIFAR10_CLASSES and len(folder) == size else path.resolve().name
    share = 1 - lossless.mean()
    kind = "lossless copy" if share == 0 else "JPEG copy" if share == 1 else f"{share:.0%} JPEG copy, the rest lossless"
    return _split(f"{source} {split} split, {kind}", folder.classes, images, folder.targets, lossless,
                  [file for file, _ in folder.samples])


def _split(name: str, class_names: list[str], pixels: np.ndarray, labels: list[int], lossless: np.ndarray,
           files: list[str]) -> Split:
    """(N, H, W, 3) bytes, as files have them, are channels_last already: only the view changes."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return Split(name, tuple(class_names), images, torch.tensor(labels), torch.from_numpy(lossless), tuple(files))


# --------------------------------------------------------------------------- holding out


def hold_out(split: Split, count: int) -> tuple[Split, Split]:
    """A fixed, stratified part of the images for making choices on.

    The same ``count`` always takes the same images: from each class in proportion to its size, lossless ones
    before others, otherwise at random.

    Returns:
        (rest, held out), ``count`` images in the second.

    Raises:
        ValueError: nothing would be held out, or nothing left of a class.
    """
    if not 0 < count < len(split):
        raise ValueError(f"cannot hold out {count} of {len(split)} images")
    shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    order = shuffled[torch.argsort(split.lossless[shuffled].int(), descending=True, stable=True)]
    sizes = split.labels.bincount()
    quotas = sizes * count / len(split)
    taken = quotas.floor().long()
    largest_remainders = torch.argsort(quotas - taken, descending=True, stable=True)
    taken[largest_remainders[: count - int(taken.sum())]] += 1
    emptied = (taken == sizes) & (sizes > 0)
    if emptied.any():
        name = split.class_names[int(emptied.nonzero()[0])]
        raise ValueError(f"holding out {count} of {len(split)} images leaves none of the class {name}")

    held_out = torch.zeros(len(split), dtype=torch.bool)
    for label, number in enumerate(taken.tolist()):
        held_out[order[split.labels[order] == label][:number]] = True
    rest, part = split[~held_out], split[held_out]
    kind = "lossless images" if part.lossless.all() else f"images, {part.lossless.float().mean():.1%} of them lossless"
    return rest, replace(part, name=f"{count:,} {kind} held out from the {split.name}")


def mean_and_std(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, over all pixels, on a scale of 0 to 1."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(3):  # from the histogram: exact, and no copy of the images as floats
        weights = split.images[:, channel].flatten().bincount(minlength=256).double()
        weights /= weights.sum()
        mean = (weights * levels).sum()
        means.append(round(mean.item(), 4))
        deviations.append(round((weights * (levels - mean) ** 2).sum().sqrt().item(), 4))
    return tuple(means), tuple(deviations)

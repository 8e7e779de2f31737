"""The images: loaded once into one uint8 tensor; a part held out; their mean and standard deviation.

There are no worker processes. All of CIFAR-10 is 184 MB as bytes; it sits on the training device, and a batch is
one indexing operation.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mvit.data.canonical import read_cifar10
from mvit.data.folders import NAMED_AT_MOST, class_files, class_name, find_splits, folders_in, listed
from mvit.data.folders import DataError as DataError  # for who reads images
from mvit.data.pictures import PictureError, load_picture, to_network_size
from mvit.model import CIFAR10_CLASSES

# Of formats that keep every pixel; all others, such as a telephone's HEIC, may lose some.
LOSSLESS_SUFFIXES = {".apng", ".bmp", ".dib", ".gif", ".pbm", ".pgm", ".pfm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
JPEG_SUFFIXES = {".jfif", ".jpe", ".jpeg", ".jpg"}
CANONICAL = "CIFAR-10 test split, canonical pixels"  # the names of splits that are that as a whole
JPEG_COPY = "CIFAR-10 test split, JPEG copy"
CIFAR10_SIZES = {"train": 50_000, "test": 10_000}
MADE = "of all pictures"  # in the names of splits that were made
TEST_SHARE = 0.2  # of the images, where there is no test/
NO_PIXELS = 0  # in the place of an image's side
EMPTY = np.zeros((0, 0, 3), np.uint8)


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
        notes: what a person should know of how they were got, a sentence each.
    """

    name: str
    class_names: tuple[str, ...]
    images: Tensor
    labels: Tensor
    lossless: Tensor
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Split":
        kept = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index].tolist()
        return replace(self, images=self.images[index], labels=self.labels[index], lossless=self.lossless[index],
                       files=tuple(self.files[i] for i in kept) if self.files else ())

    def some(self, count: int) -> "Split":
        """So many of them, or all that there are, drawn at random: the same at every call."""
        return self[_shuffled(len(self))[:count]]

    def to(self, device: torch.device | str) -> "Split":
        return replace(self, **{name: getattr(self, name).to(device) for name in ("images", "labels", "lossless")})

    def fingerprint(self) -> int:
        """A checksum of pixels and labels, to tell whether two runs saw the same images."""
        pixels = self.images.permute(0, 2, 3, 1).contiguous()
        return zlib.crc32(self.labels.numpy().data, zlib.crc32(pixels.numpy().data))


# --------------------------------------------------------------------------- loading


def load_split(path: str | Path | None, split: str, image_size: int = 32, **reading: Any) -> Split:
    """Canonical CIFAR-10, or any folder of pictures.

    Args:
        path: None for CIFAR-10 through torchvision, downloaded once into ``data/`` and checked by md5; otherwise a
            folder with ``train/<class>/`` and ``test/<class>/``. Without ``test/``, or in a plain folder of class
            folders, a part of each class is split off for it (:func:`split_off`).
        split: "train" or "test".
        image_size: side in pixels; pictures of another size are fitted as on the page.
        reading: ``test_share``, of the pictures that are split off where there is no ``test/`` (0: a fifth), and
            ``skip_damaged``, to leave out files that cannot be read.

    Raises:
        DataError: no such folder, an unreadable picture, no network.
    """
    return _load(path, (split,), image_size, **reading)[split]


def load_train_and_test(path: str | Path | None, image_size: int = 32, **reading: Any) -> tuple[Split, Split]:
    """Both splits, as :func:`load_split`; also a DataError where their classes differ, or are but one."""
    train, test = _load(path, ("train", "test"), image_size, **reading).values()
    if train.class_names != test.class_names:
        names = {split: ", ".join(s.class_names) for split, s in (("train", train), ("test", test))}
        raise DataError(f"{path}: train/ has the classes {names['train']}, but test/ has {names['test']}.")
    if len(train.class_names) < 2:
        raise DataError(f"{path}: there is one class only, {train.class_names[0]}; a network is trained to tell at "
                        "least two apart, each in a folder of its own.")
    return train, test


def list_split(path: str | Path, split: str, **reading: Any) -> Split:
    """The split of a folder without pixels: no file is read, unless damaged ones are to be left out."""
    return _load(path, (split,), NO_PIXELS, **reading)[split]


def _load(path: str | Path | None, names: tuple[str, ...], image_size: int, test_share: float = 0.0,
          skip_damaged: bool = False) -> dict[str, Split]:
    """The splits of these names."""
    if path is None:
        if image_size != 32:
            raise DataError(f"CIFAR-10's images have 32 pixels a side; for {image_size} give your own by --data PATH.")
        return {name: _load_canonical(name) for name in names}
    path = Path(path).expanduser()
    folders = find_splits(path)
    made = "test" not in folders
    read = partial(_pixels, size=image_size) if image_size or skip_damaged else lambda file: EMPTY
    damaged: dict[str, str] = {}
    try:
        splits = {name: _load_folder(path, name, folders[name], read, damaged)
                  for name in (("train",) if made else names)}
    except KeyError as error:
        raise DataError(f"There is a test/ in {path}, but no train/ beside it.") from error
    if damaged and not skip_damaged:
        raise DataError(f"{_named(damaged)}\nMend or delete them, or go on without them by --skip-damaged.")
    if made:
        train, test = split_off(splits["train"], folders["train"], test_share or TEST_SHARE)
        unread = [folder for folder in folders_in(path) if folder != folders["train"]]
        if unread and folders["train"] != path:
            train = replace(train, notes=(*train.notes, f"Beside train/ these are not read: {listed(unread)}."))
        splits = {name: split for name, split in (("train", train), ("test", test)) if name in names}
    notes = [f"{_named(damaged)}\nThe run goes on without them."] if damaged else []
    if test_share and not made:
        notes.append(f"{path} has a test/ of its own, and no other is made (--test-share).")
    splits[names[0]] = replace(splits[names[0]], notes=(*splits[names[0]].notes, *notes))
    return splits


def _load_canonical(split: str) -> Split:
    cifar = read_cifar10(split)
    return _split(f"CIFAR-10 {split} split, canonical pixels", cifar.classes, cifar.data, cifar.targets,
                  np.ones(len(cifar), bool), [f"{split} image {number}" for number in range(len(cifar))])


def _load_folder(path: Path, split: str, folder: Path, read: Callable[[str], np.ndarray],
                 damaged: dict[str, str]) -> Split:
    """A folder of class folders.

    Args:
        path: of the data set.
        split: its name.
        folder: where it is.
        read: gives a file's pixels, or a PictureError.
        damaged: is told the files that cannot be read, each with the reason.
    """
    classes = class_files(folder)
    images, labels, lossless, kept = [], [], [], []
    files = [(file, label) for label, found in enumerate(classes.values()) for file in found]
    for file, label in tqdm(files, desc=f"reading {folder.name}", unit=" pictures", leave=False, disable=None):
        try:
            images.append(read(file))
        except PictureError as error:
            damaged[file] = str(error)
            continue
        labels.append(label)
        kept.append(file)
        lossless.append(Path(file).suffix.lower() in LOSSLESS_SUFFIXES)
    known = set(labels)
    if gone := [name for label, name in enumerate(classes) if label not in known]:
        first = next(file for file, label in files if label not in known)
        raise DataError(f"No picture can be read of the class {listed(gone)} in {folder}; the first file: {first}: "
                        f"{damaged[first]}")
    whole = tuple(classes) == CIFAR10_CLASSES and len(images) == CIFAR10_SIZES[split]
    name = class_name(path.resolve().name)
    source = "CIFAR-10" if whole else f"folder {name}" if name == "CIFAR-10" else name  # only the whole is called that
    share = 1 - sum(lossless) / len(lossless)
    lossy = {Path(file).suffix.lower() for file, every_pixel in zip(kept, lossless, strict=True) if not every_pixel}
    kept_as = "JPEG" if lossy <= JPEG_SUFFIXES else "lossy"
    kind = ("lossless copy" if share == 0 else f"{kept_as} copy" if share == 1 else
            f"{in_percent(share)} {kept_as} copy, the rest lossless")
    return _split(f"{source} {split} split, {kind}", list(classes), np.stack(images), labels, np.array(lossless),
                  kept)


def in_percent(share: float, digits: int = 0) -> str:
    """A share that is neither none nor all, and is not rounded to either."""
    text, step = f"{share:.{digits}%}", 10 ** -digits / 100
    if text == f"{0:.{digits}%}":
        return f"under {step:.{digits}%}"
    return f"over {1 - step:.{digits}%}" if text == f"{1:.{digits}%}" else text


def _pixels(file: str, size: int) -> np.ndarray:
    """(size, size, 3) bytes; of size NO_PIXELS it is only seen whether the file can be read."""
    picture = load_picture(file)
    return np.asarray(to_network_size(picture, size)) if size else EMPTY


def _named(damaged: dict[str, str]) -> str:
    """The files that cannot be read, each with the reason, up to ten of them."""
    lines = [f"  {file}: {why}" for file, why in list(damaged.items())[:NAMED_AT_MOST]]
    more = [f"  and {len(damaged) - NAMED_AT_MOST:,} more"] if len(damaged) > NAMED_AT_MOST else []
    return "\n".join([f"{len(damaged):,} file(s) cannot be read as pictures:", *lines, *more])


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
    sizes = split.labels.bincount()
    quotas = sizes * count / len(split)
    taken = quotas.floor().long()
    remainders = (quotas - taken).masked_fill(taken + 1 >= sizes, -1)  # rather from a class that has more
    largest_remainders = torch.argsort(remainders, descending=True, stable=True)
    taken[largest_remainders[: count - int(taken.sum())]] += 1
    emptied = (taken == sizes) & (sizes > 0)
    if emptied.any():
        name = split.class_names[int(emptied.nonzero()[0])]
        raise ValueError(f"holding out {count} of {len(split)} images leaves none of the class {name}")
    shuffled = _shuffled(len(split))
    order = shuffled[torch.argsort(split.lossless[shuffled].int(), descending=True, stable=True)]
    rest, part = _part(split, order, taken)
    lossless = part.lossless.float().mean().item()
    kind = "lossless images" if lossless == 1 else f"images, {in_percent(lossless, 1)} of them lossless"
    return rest, replace(part, name=f"{count:,} {kind} held out from the {split.name}")


def split_off(split: Split, folder: Path, share: float) -> tuple[Split, Split]:
    """A fixed, stratified part of the images to test on, where they come without one.

    Of each class those whose names have the smallest checksums. So pictures that are added later take the places of few
    others, and weights that were trained before are, but for these few, not tested on what they were trained on.

    Args:
        split: all images.
        folder: of the class folders; a name is what comes below it, so that it may lie anywhere.
        share: of each class, from 0 to 1.

    Returns:
        (train, test), of each class the share in the second, rounded, but an image at the least.

    Raises:
        DataError: a class has no image for one of them.
    """
    sizes = split.labels.bincount(minlength=len(split.class_names))
    taken = (sizes * share).round().long().clamp(min=1)
    if lacking := [f"{name} ({size})" for name, size, number in
                   zip(split.class_names, sizes.tolist(), taken.tolist(), strict=True) if number >= size]:
        raise DataError(f"There is no test/, and --test-share {share:g} leaves no picture to train on of "
                        f"{listed(lacking)}: add pictures to these classes, at least two each, or leave them out.")
    names = [class_name(Path(file).relative_to(folder).as_posix()) for file in split.files]
    order = sorted(range(len(split)), key=lambda i: sha256(names[i].encode()).digest())
    train, test = _part(split, torch.tensor(order), taken)
    note = (f"There is no test/: {in_percent(share)} of each class, {len(test):,} of {len(split):,} pictures, are "
            "kept for testing and not trained on (--test-share).")
    train, test = (replace(part, name=split.name.replace("train split", f"{name} split, {percent} {MADE}"))
                   for name, percent, part in (("train", in_percent(1 - share), train),
                                               ("test", in_percent(share), test)))
    return replace(train, notes=(note,)), test


def _shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def _part(split: Split, order: Tensor, taken: Tensor) -> tuple[Split, Split]:
    """(The rest, the first ``taken`` images of each class in this order)."""
    chosen = torch.zeros(len(split), dtype=torch.bool)
    for label, number in enumerate(taken.tolist()):
        chosen[order[split.labels[order] == label][:number]] = True
    return split[~chosen], replace(split[chosen], notes=())  # they are said once


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

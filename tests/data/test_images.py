"""Loading and holding out."""

import pytest
import torch
from PIL import Image

from mvit.data import images as data
from mvit.data.images import (
    DataError,
    Split,
    hold_out,
    load_split,
    load_train_and_test,
    mean_and_std,
)
from mvit.model import CIFAR10_CLASSES
from tests.conftest import CLASSES


def test_folder(folder):
    train, test = load_train_and_test(folder)
    assert (len(train), len(test)) == (90, 30)
    assert train.class_names == test.class_names == CLASSES
    assert train.images.dtype == torch.uint8
    assert train.images.shape == (90, 3, 32, 32)
    assert train.labels.bincount().tolist() == [30, 30, 30]
    assert train.lossless.sum() == 30
    assert train.name == f"{folder.name} train split, 67% JPEG copy, the rest lossless"
    with Image.open(folder / "train" / "green" / "03.png") as image:  # the fourth of the second class
        for column, row in ((0, 0), (31, 5)):
            assert tuple(train.images[33, :, row, column].tolist()) == image.getpixel((column, row))


def test_pictures_of_other_sizes_are_fitted_as_on_the_page(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        picture = Image.new("RGB", (90, 60), "red")
        picture.paste("blue", (15, 0, 75, 60))  # the middle 60 x 60
        picture.save(tmp_path / split / "a" / "wide.png")
    images = load_split(tmp_path, "train").images
    assert images.shape == (1, 3, 32, 32)
    grey, red, blue = [125, 123, 114], [255, 0, 0], [0, 0, 255]
    places = {(0, 16): grey, (31, 16): grey, (16, 2): red, (16, 16): blue, (16, 29): red}  # letterboxed
    assert {place: images[0, :, *place].tolist() for place in places} == places


def test_what_is_no_data_is_said_in_a_sentence(tmp_path, folder):
    with pytest.raises(DataError, match="give a folder with train/<class>/ and test/<class>/"):
        load_split(tmp_path / "nothing", "train")
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="No pictures in"):
        load_split(tmp_path, "train")
    (tmp_path / "train" / "a" / "cat.png").write_text("no picture")
    with pytest.raises(DataError, match="holds a file that is no picture"):
        load_split(tmp_path, "train")


def test_other_classes_in_test_than_in_train(tmp_path):
    for split, name in (("train", "cat"), ("test", "dog")):
        (tmp_path / split / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / split / name / "0.png")
    with pytest.raises(DataError, match=r"train/ has the classes cat, but test/ has dog"):
        load_train_and_test(tmp_path)


def test_without_network_both_ways_out_are_named(tmp_path, monkeypatch):
    from urllib.error import URLError

    from mvit.compat import torchvision

    def refuse(*arguments, **keywords):
        raise URLError("no network")

    monkeypatch.setattr(data, "CANONICAL_ROOT", tmp_path)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)
    with pytest.raises(DataError, match=r"connect to the internet .* or give a folder .* by --data PATH"):
        load_split(None, "train")


def test_canonical_files_are_read(tmp_path, monkeypatch):
    """Made in the canonical format, with torchvision's checksums set to theirs."""
    import hashlib
    import pickle

    import numpy as np

    from mvit.compat import torchvision

    cifar10, base = torchvision.datasets.CIFAR10, tmp_path / "cifar-10-batches-py"
    base.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    names = [f"data_batch_{i}" for i in range(1, 6)]
    monkeypatch.setattr(cifar10, "train_list", [write(n, {"data": pixels, "labels": [3, 9]}) for n in names])
    monkeypatch.setattr(cifar10, "test_list", [write("test_batch", {"data": pixels, "labels": [0, 1]})])
    meta = write("batches.meta", {"label_names": list(CIFAR10_CLASSES)})
    monkeypatch.setattr(cifar10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    monkeypatch.setattr(data, "CANONICAL_ROOT", tmp_path)

    train, test = load_train_and_test(None)
    assert (len(train), len(test)) == (10, 2)
    assert train.labels.tolist() == [3, 9] * 5
    assert train.lossless.all()
    assert train.class_names == CIFAR10_CLASSES
    # A record is 1024 red, 1024 green and 1024 blue values, row by row.
    assert test.images[1, 2, 4, 7] == pixels[1, 2 * 1024 + 4 * 32 + 7]


# --------------------------------------------------------------------------- holding out


def made_split(labels, lossless) -> Split:
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    return Split("made", ("a", "b"), images, torch.tensor(labels), torch.tensor(lossless))


def test_hold_out_is_stratified_lossless_first_and_fixed():
    split = made_split([0] * 60 + [1] * 30, ([True] * 5 + [False] * 55) + [False] * 30)
    rest, part = hold_out(split, 30)
    assert part.labels.bincount().tolist() == [20, 10]
    identities = part.images[:, 0, 0, 0].tolist()
    assert set(range(5)) < set(identities)
    assert sorted(identities + rest.images[:, 0, 0, 0].tolist()) == list(range(90))
    assert torch.equal(hold_out(split, 30)[1].images, part.images)
    assert len(hold_out(split, 31)[1]) == 31  # a number that does not divide


@pytest.mark.parametrize("count", [-1, 0, 90, 91])
def test_hold_out_leaves_something_on_both_sides(count):
    with pytest.raises(ValueError, match=f"cannot hold out {count} of 90 images"):
        hold_out(made_split([0] * 60 + [1] * 30, [True] * 90), count)


def test_mean_and_std(folder):
    split = load_split(folder, "train")
    pixels = split.images.double().div(255).permute(1, 0, 2, 3).flatten(1)
    mean, std = mean_and_std(split)
    assert mean == pytest.approx(pixels.mean(1).tolist(), abs=1e-4)
    assert std == pytest.approx(pixels.std(1, correction=0).tolist(), abs=1e-4)

"""Loading and holding out."""

import shutil
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image

from mvit.data import canonical, folders
from mvit.data.images import (
    DataError,
    Split,
    hold_out,
    in_percent,
    list_split,
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


def picture(file: Path, colour="red"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(file)


@pytest.mark.parametrize("made,given,said", [
    ([], "nothing", r"There is no folder .*nothing; in .* there is: no folder"),
    (["pets/cat/0.png"], "pest", r"There is no folder .*pest; in .* there is: pets"),
    (["pets.png"], "pets.png", "is a file, not a folder: unpack it if it is an archive"),
    (["0.png", "1.jpg"], "", r"There are no folders of classes in .* \(2 picture\(s\)\): if .* the folder above, or"),
    (["train/0.png", "val/1.png"], "", r"no folders of classes in .*train \(1 picture\(s\)\)"),
    (["cat/0.png", "dog/notes.txt"], "", r"folders without pictures: dog \(no picture that can be read, but files: 1"),
    (["cat/0.png", "dog/.DS_Store"], "", r"folders without pictures: dog \(empty\)"),
    (["train/a/0.png", "train/b/0.png", "test/a/0.png"], "train", "but one of the two parts .* give the folder above"),
    (["data/train/a/0.png"], "", r"itself holds no train/, but .*data does: give that"),
    (["data/a/0.png", "data/b/0.png"], "", r"holds one folder only, data, and in it are a, b: .* give .*data\."),
    (["test/a/0.png", "test/b/0.png"], "", "There is a test/ in .*, but no train/ beside it"),
    (["a/0.png", "b/0.png", "b/1.png"], "", r"There is no test/, and --test-share 0.2 leaves no picture .* of a \(1\)"),
    (["a/0.png", "a/1.png"], "", "there is one class only, a"),
])
def test_a_folder_that_is_no_data_set_is_explained_by_what_was_found(tmp_path, made, given, said):
    for name in made:
        if name.endswith((".png", ".jpg")):
            picture(tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("text")
    with pytest.raises(DataError, match=said):
        load_train_and_test(tmp_path / given)


def test_what_is_hidden_is_no_class_and_no_picture(tmp_path):
    for name in ("a/0.JPG", "a/1.jfif", "a/2.gif", "b/0.avif", "b/1.jp2", "b/c/2.png",
                 ".ipynb_checkpoints/0.png", "__MACOSX/a/0.png", "@eaDir/0.jpg", "b/@eaDir/0.jpg", "a/._1.png"):
        picture(tmp_path / name)
    for name in (".DS_Store", "a/.DS_Store", "a/Thumbs.db", "b/desktop.ini"):
        (tmp_path / name).write_text("a system's")
    train, test = load_train_and_test(tmp_path)
    assert train.class_names == ("a", "b")
    assert len(train) + len(test) == 6


def test_files_that_cannot_be_read_are_named_and_may_be_skipped(tmp_path):
    for number in range(20):
        picture(tmp_path / f"train/{'ab'[number % 2]}/{number:02}.png")
        picture(tmp_path / f"test/{'ab'[number % 2]}/{number:02}.png")
    (tmp_path / "test/a/gone.png").symlink_to(tmp_path / "nowhere")
    for number in range(11):
        (tmp_path / f"train/a/{number:02}.jpg").write_bytes(b"\xff\xd8\xff" * (number > 0))
    with pytest.raises(DataError) as refused:
        load_train_and_test(tmp_path)
    lines = str(refused.value).splitlines()
    assert lines[0] == "12 file(s) cannot be read as pictures:"
    assert lines[1] == f"  {tmp_path}/train/a/00.jpg: This file is empty."
    assert lines[11:] == ["  and 2 more", "Mend or delete them, or go on without them by --skip-damaged."]
    train, test = load_train_and_test(tmp_path, skip_damaged=True)
    assert (len(train), len(test)) == (20, 20)
    assert "12 file(s)" in train.notes[0]
    for file in (tmp_path / "train/b").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"No picture can be read of the class b .*/b/0.* This file is empty"):
        load_train_and_test(tmp_path, skip_damaged=True)


def test_without_test_a_part_of_each_class_is_split_off_and_that_is_said(tmp_path, folder):
    train, test = load_train_and_test(copied(folder / "train", tmp_path / "plain"))
    assert (train.labels.bincount().tolist(), test.labels.bincount().tolist()) == ([24] * 3, [6] * 3)
    assert train.notes == ("There is no test/: 20% of each class, 18 of 90 pictures, are kept for testing and not "
                           "trained on (--test-share).",)
    seen = [tuple(image.flatten().tolist()) for split in (train, test) for image in split.images]
    assert len(set(seen)) == 90
    assert 0 < test.lossless.sum() < len(test)  # of either kind, as in training
    assert test.name.startswith("plain test split, 20% of all pictures, 67% JPEG copy")
    assert torch.equal(load_split(tmp_path / "plain", "test").images, test.images)
    copied(folder / "train", tmp_path / "half" / "Train")
    train, test = load_train_and_test(tmp_path / "half", test_share=0.5)
    assert (len(train), len(test)) == (45, 45)
    train, test = load_train_and_test(folder, test_share=0.5)
    assert len(test) == 30
    assert train.notes == (f"{folder} has a test/ of its own, and no other is made (--test-share).",)


def test_pictures_that_are_added_take_few_others_from_training_to_the_test(tmp_path):
    for split, count in (("before", 100), ("after", 200)):
        for name in ("a", "b"):
            for number in range(count):
                picture(tmp_path / split / name / f"{number}.png")
    trained, tested = ({str(Path(file).relative_to(tmp_path / folder)) for file in list_split(
        tmp_path / folder, split).files} for folder, split in (("before", "train"), ("after", "test")))
    assert len(tested) == 80
    assert len(trained & tested) <= 8  # drawn anew it would be some 32
    shutil.move(tmp_path / "before", tmp_path / "moved" / "train")
    again = list_split(tmp_path / "moved", "train").files
    assert {str(Path(file).relative_to(tmp_path / "moved" / "train")) for file in again} == trained


def test_a_share_is_not_rounded_to_none_or_all(tmp_path):
    for number in range(101):
        picture(tmp_path / f"a/{number}.{'png' if number else 'jpg'}")
        picture(tmp_path / f"b/{number}.png")
    assert load_split(tmp_path, "train").name.endswith("under 1% JPEG copy, the rest lossless")
    assert [in_percent(share) for share in (0.005, 0.006, 0.99, 0.996)] == ["under 1%", "1%", "99%", "over 99%"]
    assert [in_percent(share, 1) for share in (0.0001, 0.992, 0.9998)] == ["under 0.1%", "99.2%", "over 99.9%"]


def test_a_folder_may_lie_in_one_that_cannot_be_listed(tmp_path, folder, monkeypatch):
    def listed(path: Path) -> list[Path]:
        if path == tmp_path:
            raise DataError("cannot be read")
        return sorted(path.iterdir())

    mine = copied(folder / "train", tmp_path / "mine")
    monkeypatch.setattr(folders, "folders_in", listed)
    assert folders.find_splits(mine) == {"train": mine}


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "car", "train"):
        for number in range(2):
            picture(tmp_path / name / f"{number}.png")
    assert load_split(tmp_path, "train").class_names == ("bus", "car", "train")


def test_the_home_folder_may_be_a_tilde(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load_split(f"~/{folder.name}", "test")) == 30


def test_names_of_classes_are_the_same_however_accents_are_composed_and_bytes_are_no_text(tmp_path):
    for name in ("train/cafe\u0301", "train/\u65e5\u672c", "test/caf\u00e9", "test/\u65e5\u672c",
                 "train/caf\udce9", "test/caf\udce9"):
        picture(tmp_path / name / "0.png")
    train, test = load_train_and_test(tmp_path)
    assert train.class_names == test.class_names == ("caf\\xe9", "caf\u00e9", "\u65e5\u672c")


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

    monkeypatch.setattr(canonical, "CANONICAL_ROOT", tmp_path)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)
    with pytest.raises(DataError, match=r"connect to the internet .* or give a folder .* by --data PATH"):
        load_split(None, "train")


@pytest.mark.parametrize("answer,said", [
    (None, "Connection refused"), (b"", "closed connection without response"),
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"), (b"nonsense\r\n\r\n", "nonsense"), ("silence", "timed out"),
])
def test_behind_a_proxy_that_does_not_work_it_says_so_and_does_not_wait(tmp_path, monkeypatch, answer, said):
    from mvit.compat import torchvision

    monkeypatch.setattr(canonical, "CANONICAL_ROOT", tmp_path)
    monkeypatch.setattr(canonical, "SILENCE", 0.3)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies that there were at first
    archive = tmp_path / torchvision.datasets.CIFAR10.filename
    archive.write_bytes(b"\x1f\x8b" + bytes(998))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        if answer is None:
            proxy.close()
        elif answer != "silence":
            def serve():
                connection, _ = proxy.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
        begin = time.monotonic()
        with pytest.raises(DataError) as refused:
            load_split(None, "train")
    assert time.monotonic() - begin < 5
    text = str(refused.value)
    assert said in text
    assert f"{archive.name} is there, but damaged or not whole: 1,000 of 170,498,071 bytes" in text
    assert f"put {torchvision.datasets.CIFAR10.url} into {tmp_path} by hand, or give a folder of pictures" in text
    assert socket.getdefaulttimeout() is None


def test_a_download_that_breaks_off_is_told(tmp_path, monkeypatch):
    from mvit.compat import torchvision

    monkeypatch.setattr(canonical, "CANONICAL_ROOT", tmp_path)
    utils, name = torchvision.datasets.utils, torchvision.datasets.CIFAR10.filename
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, file: Path(file).write_bytes(bytes(500)))
    with pytest.raises(DataError, match=f"{name} is there, but damaged or not whole: 500 of .*by hand, or"):
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
    monkeypatch.setattr(canonical, "CANONICAL_ROOT", tmp_path)

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

"""The pictures that weights were evaluated on, found again in the folder that they were trained on."""

import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

import train
from mvit import MobileViT
from mvit.data.images import list_split, load_split
from mvit.data.pictures import load_picture
from mvit.inference.classifier import Classifier
from mvit.page import checkpoints
from mvit.page import data as page_data
from mvit.page.data import evaluated_pictures
from mvit.page.examples import chosen, example_instead, examples, gallery
from mvit.page.mistakes import show_chosen
from mvit.page.pictures import pack
from mvit.storage.files import load_json, write_json
from tests.page.conftest import REFERENCE
from tests.page.test_mistakes import chosen as clicked
from tests.training.runs import arguments


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory) -> Path:
    """Only folders of classes, one of them with a damaged file."""
    plain = tmp_path_factory.mktemp("plain") / "mine"
    shutil.copytree(folder / "train", plain)
    (plain / "red" / "cut.png").write_bytes((plain / "red" / "00.png").read_bytes()[:100])
    return plain


@pytest.mark.parametrize("options", [["--test-share", "0.3"], ["--validation", "12"]], ids=["made", "held out"])
def test_images_that_were_split_off_are_found_again(plain, tmp_path, monkeypatch, options):
    assert train.main(arguments(plain, tmp_path / "run", "--epochs", "2", "--skip-damaged", *options)) == 0
    monkeypatch.setattr(checkpoints, "begun_with", [tmp_path / "run"])
    monkeypatch.setattr(page_data, "at_hand", [plain])
    evaluation, pictures = load_json(tmp_path / "run" / "evaluation.json"), evaluated_pictures("run")
    classifier, counted = Classifier(tmp_path / "run"), [[0] * 3 for _ in range(3)]
    names = classifier.model.config.class_names
    for file, label in zip(pictures.files, pictures.labels.tolist(), strict=True):
        assert Path(file).parent.name == names[label]
        counted[label][names.index(classifier(load_picture(file)).best[0])] += 1
    assert counted == evaluation["confusion_matrix"]
    row, column = next((i, j) for i in range(3) for j in range(3) if counted[i][j])
    answer = show_chosen(clicked([row, column]), "run")
    assert f"Found here: {counted[row][column]}." in answer and "<img" in answer

    shown = examples("run")
    assert [each.name for each in shown.pictures] == list(names)
    if "--validation" in options:  # as many of each class, but others, are held out of more
        more = Path(shutil.copytree(plain, tmp_path / "mine"))
        for name in names:
            shutil.copy(more / name / "01.jpg", more / name / "99.jpg")
        with monkeypatch.context() as patch:
            patch.setattr(page_data, "at_hand", [more])
            with pytest.raises(page_data.NotAtHandError):
                evaluated_pictures("run")
    seen = {load_picture(file).tobytes() for file in pictures.files}
    assert all(load_picture(each.file).tobytes() in seen for each in shown.pictures)
    assert "evaluated on and not trained on, one of each class" in shown.note


def test_a_split_is_listed_as_it_is_loaded(plain, folder):
    for path, reading in ((folder, {}), (plain, {"test_share": 0.4, "skip_damaged": True})):
        for split in ("train", "test"):
            listed, loaded = list_split(path, split, **reading), load_split(path, split, **reading)
            assert listed.files == loaded.files
            assert listed.labels.equal(loaded.labels)
            assert listed.lossless.equal(loaded.lossless)
            assert listed.images.numel() == 0


@pytest.fixture
def tiny_of(tiny, tmp_path, monkeypatch):
    """Makes weights of a tiny network for classes, on offer, evaluated on so many images of each."""
    def make(names, images=()) -> str:
        folder = tmp_path / "weights"
        MobileViT(replace(tiny, class_names=tuple(names))).save_pretrained(folder)
        matrix = [[count if i == j else 0 for j in range(len(names))] for i, count in enumerate(images)]
        write_json(folder / "evaluation.json", {"split": "made", "accuracy": 1.0, "images": sum(images),
                                                "class_names": list(names), "confusion_matrix": matrix})
        monkeypatch.setattr(checkpoints, "begun_with", [folder])
        return folder.name
    return make


@pytest.mark.parametrize("classes,expected,words", [
    (("cup", "mug"), ["tower"], "A photo that comes with Gradio, to begin with, as none of these classes is drawn"),
    (("cat", "cup"), ["cat", "tower"], "is none of the 2 classes"),
])
def test_without_pictures_of_its_classes_only_what_is_drawn_of_them_is_offered(tiny_of, classes, expected, words):
    shown = examples(tiny_of(classes))
    assert [each.name for each in shown.pictures] == expected
    assert words in shown.note
    assert "demo.py --data PATH`, the folder of their pictures, for one of each class" in shown.note


def test_other_weights_example_gives_way_to_one_of_these(tiny_of):
    theirs = {each.name: each.pixels for each in examples(REFERENCE.name).pictures}
    mine = tiny_of(("cat", "cup"))
    assert example_instead(theirs["cat"], mine) is None  # which these have as well
    assert example_instead(theirs["ship"], mine) == theirs["cat"]
    assert example_instead(pack(Image.new("RGB", (32, 32), "red")), mine) is None  # a visitor's


def test_of_many_classes_some_have_an_example(tiny_of, folder, tmp_path, monkeypatch):
    names = [f"<b>{i:02}" for i in range(25)]
    for name in names:
        shutil.copytree(folder / "test" / "red", tmp_path / "many" / "test" / name)
    checkpoint = tiny_of(names, [10] * 25)
    monkeypatch.setattr(page_data, "at_hand", [tmp_path / "many"])
    shown = examples(checkpoint)
    assert [each.name for each in shown.pictures] == [names[i * 25 // 12] for i in range(12)]
    assert "of 12 of 25 classes" in shown.note
    assert "<b>" not in gallery(checkpoint)[0]


def test_a_click_on_an_example_gives_its_file(drawn):
    assert load_picture(chosen(gr.EventData(None, {"example": "ship"}), REFERENCE.name)).tobytes() == load_picture(
        drawn["ship"]).tobytes()
    with pytest.raises(gr.Error, match="no such example"):
        chosen(gr.EventData(None, {"example": "dragon"}), REFERENCE.name)

"""The Training tab: the pictures behind a cell of the confusion matrix."""

import json
import re
import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import demo
from mvit.data.pictures import load_picture
from mvit.page import charts, checkpoints, mistakes
from mvit.page import data as page_data
from mvit.page.checkpoints import folder_of, load_classifier
from mvit.page.mistakes import WORKING, choosable, show_chosen
from mvit.page.training import training_figures
from tests.page.conftest import REFERENCE, slow_line


@pytest.fixture(scope="module")
def data(tmp_path_factory, drawn) -> Path:
    """Drawings in the folder of their class, three of ships in that of the cats; beside it what is no test image."""
    root = tmp_path_factory.mktemp("data")
    for name in ("cat", "ship"):
        (root / "test" / name).mkdir(parents=True)
        shutil.copy(drawn[name], root / "test" / name / f"{name} <b>.png")
    for i in range(3):
        Image.open(drawn["ship"]).rotate(2 * i).save(root / "test" / "cat" / f"ship{i}.png")
    (root / "train" / "dog").mkdir(parents=True)
    shutil.copy(drawn["dog"], root / "train" / "dog" / "dog.png")
    shutil.copy(drawn["dog"], root / "dog.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory, data) -> Path:
    """Weights whose evaluation is that of this folder."""
    folder = tmp_path_factory.mktemp("weights") / "mine"
    shutil.copytree(REFERENCE, folder)
    classifier = load_classifier(REFERENCE)
    names = classifier.model.config.class_names
    matrix = np.zeros((10, 10), int)
    for file in (data / "test").glob("*/*.png"):
        matrix[names.index(file.parent.name), names.index(classifier(load_picture(file)).best[0])] += 1
    rewrite(folder, confusion_matrix=matrix.tolist(), images=int(matrix.sum()))
    return folder


@pytest.fixture
def evaluated(weights, data, monkeypatch) -> str:
    """The same, on offer, with the folder at hand."""
    monkeypatch.setattr(checkpoints, "begun_with", [weights])
    monkeypatch.setattr(page_data, "at_hand", [data])
    return weights.name


def rewrite(checkpoint: Path, **changes) -> None:
    file = checkpoint / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def chosen(cell: object) -> gr.EventData:
    return gr.EventData(None, {"cell": cell})


CAT, DOG, SHIP = 3, 5, 8


def test_a_cell_shows_its_pictures_and_no_others(evaluated):
    answer = show_chosen(chosen([CAT, SHIP]), evaluated)
    assert "cat taken for ship, 3 pictures, by the weights " in answer and "Found here: 3." in answer
    assert sorted(re.findall(r"alt='(.*?)'", answer)) == ["ship0.png", "ship1.png", "ship2.png"]
    shares = [float(share) for share in re.findall(r"<figcaption>([\d.]+)%", answer)]
    assert shares == sorted(shares, reverse=True)
    own = show_chosen(chosen([CAT, CAT]), evaluated)
    assert re.findall(r"alt='(.*?)'", own) == ["cat &lt;b&gt;.png"]
    assert "<img" not in show_chosen(chosen([CAT, DOG]), evaluated)
    assert "Found here: 0." in show_chosen(chosen([CAT, DOG]), evaluated)


def test_without_the_folder_a_sentence_says_how_to_name_it(evaluated, monkeypatch):
    monkeypatch.setattr(page_data, "at_hand", [])
    answer = show_chosen(chosen([CAT, SHIP]), evaluated)
    assert page_data.NONE in answer and "<img" not in answer


def test_another_folder_than_the_evaluated_one_is_not_shown(evaluated, data, tmp_path, monkeypatch):
    shutil.copytree(data, tmp_path / "other")
    (tmp_path / "other" / "test" / "cat" / "ship0.png").unlink()
    for folder, words in (("other", "has 3 test pictures of cat and not 4"), ("none", page_data.ANOTHER)):
        monkeypatch.setattr(page_data, "at_hand", [tmp_path / folder])
        answer = show_chosen(chosen([CAT, SHIP]), evaluated)
        assert words in answer and "<img" not in answer
        assert str(tmp_path) not in answer


@pytest.mark.parametrize("name", ["../train/dog", "..", "/", "cat/../../train/dog"])
def test_a_class_s_name_leads_nowhere_else(evaluated, name):
    """The names are the checkpoint's, which may be a stranger's."""
    read = json.loads((folder_of(evaluated) / "evaluation.json").read_text())
    names = [name if known == "cat" else known for known in read["class_names"]]
    before = {each: (folder_of(evaluated) / each).read_text() for each in ("evaluation.json", "config.json")}
    try:
        rewrite(folder_of(evaluated), class_names=names)
        config = json.loads(before["config.json"])
        (folder_of(evaluated) / "config.json").write_text(json.dumps({**config, "class_names": names}))
        assert "<img" not in show_chosen(chosen([CAT, SHIP]), evaluated)
    finally:
        for each, text in before.items():
            (folder_of(evaluated) / each).write_text(text)


def test_a_cell_that_there_is_not_is_refused_in_words(evaluated):
    for cell in (None, [], [1], [1, 2, 3], [-1, 0], [0, 10], [True, 1], [1.5, 0], ["1", "2"], "35", {"0": 1},
                 [10**400, 0], [[0], [1]]):
        with pytest.raises(gr.Error, match="no such cell"):
            show_chosen(chosen(cell), evaluated)


def test_weights_that_are_not_on_offer_are_refused():
    with pytest.raises(gr.Error, match="does not offer"):
        show_chosen(chosen([0, 0]), "/etc")


def test_one_lookup_at_a_time(evaluated):
    with mistakes._looking:
        assert WORKING in show_chosen(chosen([CAT, SHIP]), evaluated)
    assert WORKING not in show_chosen(chosen([CAT, SHIP]), evaluated)


def test_looking_ends_when_its_time_is_over(evaluated, monkeypatch):
    mistakes._row.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(mistakes, "SECONDS", -1)
        assert "Of its 4 the first 0 were looked at" in show_chosen(chosen([CAT, SHIP]), evaluated)
    answer = show_chosen(chosen([CAT, SHIP]), evaluated)  # goes on
    assert "Found here: 3." in answer and "were looked at" not in answer


# --------------------------------------------------------------------------- the chart


def of_classes(count: int) -> dict:
    names = [f"class {i} <&'\"> of a rather long name" for i in range(count)]
    matrix = np.eye(count, dtype=int) * 50
    matrix[3, 1], matrix[2, 4], matrix[0, 1] = 9, 7, 1
    return {"class_names": names, "confusion_matrix": matrix.tolist(), "accuracy": 0.9,
            "per_class_accuracy": {name: i / count for i, name in enumerate(names)}}


@pytest.mark.parametrize("count", [5, 30])
def test_every_cell_that_counts_anything_can_be_chosen(count):
    evaluation = of_classes(count)
    chart = choosable(charts.svg(charts.confusion(evaluation), 4.6, 4.6, "made"), evaluation)
    cells = dict(re.findall(r'<g data-cell="(\d+-\d+)" role="button" tabindex="(\S+)"', chart))
    by_tab = [f"{i}-{i}" for i in range(count)]
    assert cells == {**dict.fromkeys(by_tab, "0"), **dict.fromkeys(("3-1", "2-4", "0-1"), "-1")}
    assert 'role="img"' not in chart  # whose parts would be no buttons
    assert "&lt;&amp;" in chart


def test_of_a_thousand_classes_the_confusions_made_most_are_drawn(tmp_path):
    evaluation = of_classes(1000)
    chart = choosable(charts.svg(charts.confusion(evaluation), 4.6, 4.6, "made"), evaluation)
    assert re.findall(r'data-cell="(\d+-\d+)" role="button" tabindex="0"', chart) == ["3-1", "2-4", "0-1"]
    assert len(charts.shown_classes(evaluation)) == 20
    assert max(charts.shown_classes(evaluation).values()) == 0.019  # those with the lowest
    assert len(charts.svg(charts.class_bars(evaluation), 4.6, 4.6, "made")) < 100_000


def test_a_training_tab_of_a_thousand_classes_is_small_and_soon_there(checkpoint):
    rewrite(folder_of(checkpoint), **of_classes(1000))
    assert len(training_figures(checkpoint)) < 300_000


def test_a_click_on_the_page_is_answered(page):
    page.get_by_role("tab", name="Training").click()
    page.locator("[data-cell='3-5']").click()
    page.locator("#behind").get_by_text("cat taken for dog").wait_for()
    page.locator("#behind").get_by_text("not at hand").wait_for()
    page.locator("[data-cell='0-0']").focus()
    page.keyboard.press("ArrowDown")  # to an automobile taken for an airplane
    page.keyboard.press("Enter")
    page.locator("#behind").get_by_text("automobile taken for airplane").wait_for()


def test_of_two_quick_clicks_the_last_is_answered(page):
    page.get_by_role("tab", name="Training").click()
    page.locator("[data-cell='3-5']").wait_for()
    with slow_line(page):
        page.locator("[data-cell='3-5']").click()
        page.locator("[data-cell='0-1']").click()
        page.locator("#behind").get_by_text("airplane taken for automobile").wait_for()


def test_a_folder_that_is_no_data_set_is_said_to_be_none(tmp_path, capsys):
    assert demo.main(["--data", str(tmp_path / "none")]) == 2
    assert f"There is no folder {tmp_path / 'none'}; in {tmp_path} there is: no folder." in capsys.readouterr().err

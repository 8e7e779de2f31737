"""The bubble chart can be read whatever was measured."""

import itertools
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from mvit.benchmark.networks import PUBLISHED
from mvit.page import charts


def measured(name: str, fps: float, accuracy: float, params: float, source: str = "measured with made: made") -> dict:
    return {"name": name, "fps": fps, "accuracy": accuracy, "params": params, "accuracy_source": source}


def overlap(one, other) -> float:
    return charts._overlaps([one], [other])[0][0]


@pytest.mark.parametrize("ours", [(365, 0.907), (365, 0.828), (60, 0.907), (162, 0.869), (900, 0.95), (250, 0.5)])
@pytest.mark.parametrize("theirs", [45, 20, 40, 79, 120])
def test_no_label_lies_on_another_or_beyond_the_chart(ours, theirs):
    models = [measured("MobileViT-XXS", *ours, 0.42e6),
              measured("ResNet-50, CIFAR stem", theirs, 0.93, 23.5e6, "quoted: published figure")]
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    charts.efficiency(models)(axes)
    figure.draw_without_rendering()
    boxes = [note.get_window_extent() for note in axes.texts if isinstance(note, Annotation)]
    assert len(boxes) == 4
    for one, other in itertools.combinations(boxes, 2):
        assert overlap(one, other) < 0.02 * min(one.width * one.height, other.width * other.height)
    for box in boxes:
        assert overlap(box, axes.get_window_extent()) > 0.97 * box.width * box.height


def test_names_are_drawn_as_they_are():
    names = ["$\\frac{", "$x$", "<b>&amp;", "日本"]
    evaluation = {"class_names": names, "confusion_matrix": [[1] * 4] * 4, "accuracy": 0.25,
                  "per_class_accuracy": dict.fromkeys(names, 0.25)}
    for draw in (charts.class_bars(evaluation), charts.confusion(evaluation)):
        texts = ElementTree.fromstring(charts.svg(draw, 4, 4, ", ".join(names))).itertext()
        assert set(names) <= {text.strip() for text in texts}


def test_accuracy_on_training_images_is_told_apart():
    axes = Figure().add_subplot()
    charts.efficiency([measured("MobileViT-XXS", 365, 0.9, 0.42e6)])(axes)
    shapes = [len(bubble.get_paths()[0].vertices) for bubble in axes.collections]
    ours, published, resnet = shapes
    assert ours == resnet != published  # a circle has more corners than a diamond
    assert "training" in PUBLISHED[0]["what"]


def test_where_the_settings_changed_is_marked():
    history = [{"epoch": i, "train_loss": 1 / i, "test_loss": 2 / i} for i in range(1, 7)]
    axes = Figure().add_subplot()
    charts.curves(history, "loss", before=4)(axes)
    assert [list(line.get_xdata()) for line in axes.lines].count([4.5, 4.5]) == 1
    assert any("after epoch 4" in text.get_text() for text in axes.texts)
    axes = Figure().add_subplot()
    charts.curves(history, "loss")(axes)
    assert len(axes.lines) == 2


def test_sizes_of_our_network_are_joined_and_their_labels_can_be_read():
    models = [measured("MobileViT-XXS", 999, 0.91, 0.42e6), measured("ResNet-50, torchvision's stem", 494, 0.8, 23.5e6),
              measured("ResNet-50, CIFAR stem", 131, 0.93, 23.5e6, "quoted: published figure"),
              measured("MobileViT, 50-mflops", 1200, 0.885, 0.23e6),
              measured("MobileViT, 25-mflops", 1700, 0.86, 0.12e6),
              measured("MobileViT, 80-mflops", 800, 0.895, 0.37e6)]
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    charts.efficiency(models)(axes)
    assert [list(line.get_xdata()) for line in axes.lines] == [[800, 1200, 1700]]
    boxes = [note.get_window_extent() for note in axes.texts if isinstance(note, Annotation)]
    assert len(boxes) == 8
    for one, other in itertools.combinations(boxes, 2):
        assert overlap(one, other) < 0.1 * min(one.width * one.height, other.width * other.height)

"""Charts for the page and for download: one style, drawn by matplotlib as SVG that follows the page's colours."""

import io
import itertools
import random
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from mvit.benchmark.networks import PUBLISHED
from mvit.data.images import CANONICAL, JPEG_COPY
from mvit.evaluation.mistakes import most_confused
from mvit.storage.formats import Epoch, Evaluation

# Okabe and Ito's colours, told apart by the colour-blind too.
BLUE, ORANGE = "#0072b2", "#d55e00"
MOST_CLASSES, BARS = 30, 20  # of more classes than a matrix can show, as many bars as are read
LONGEST = 24  # characters of a class's name
LEAST_RANGE = 0.1  # of accuracies on an axis, so that its whole percents differ
INK = "#010203"  # stands for the page's text colour until the SVG is written


def svg(draw: Callable[[Axes], None], width: float, height: float, description: str) -> str:
    """A chart as an SVG element whose text and lines take the colour of the text around it.

    Where the page sets the CSS properties --chart-blue and --chart-orange, these stand for the chart's two colours.

    Args:
        draw: draws on empty axes.
        width, height: in inches of 72 points; the element shrinks to the space it is given.
        description: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with _lock, matplotlib.rc_context({**_style(INK), "svg.fonttype": "none", "svg.hashsalt": "mvit"}):
        _figure(draw, width, height).savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    for name, colour in (("blue", BLUE), ("orange", ORANGE)):                       # brighter ones on dark pages
        text = text.replace(colour, f"var(--chart-{name}, {colour})")
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" style="width:100%;height:auto"', 1)


def image_file(draw: Callable[[Axes], None], width: float, height: float, path: str) -> None:
    """The same chart as a file for download, black on white; the ending of ``path`` says PNG or SVG."""
    with _lock, matplotlib.rc_context(_style("black")):
        _figure(draw, width, height).savefig(path, dpi=200, facecolor="white")


# A class may be written in letters that matplotlib's font lacks; the browser, which writes the text, has them.
warnings.filterwarnings("ignore", "Glyph .* missing from font")
_lock = threading.Lock()  # matplotlib's settings are the whole process's, and visitors come at once


def _style(ink: str) -> dict:
    return {"text.color": ink, "axes.edgecolor": ink, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink,
            "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10,
            "text.parse_math": False,  # a class may be called $x$
            "axes.spines.top": False, "axes.spines.right": False}


def _figure(draw: Callable[[Axes], None], width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure.add_subplot())
    return figure


# --------------------------------------------------------------------------- what is drawn

Draw = Callable[[Axes], None]
SIZES = "MobileViT, "  # begins the names of our network in its other sizes
Point = Mapping[str, Any]  # of ``benchmark.json``, or as published


def efficiency(models: Sequence[Point]) -> Draw:
    """The bubble chart: images per second, accuracy, and parameters as the bubble's area.

    Args:
        models: a record each of ``benchmark.json``, those with an accuracy.
    """
    def draw(axes: Axes) -> None:
        labels: list[tuple[Point, str]] = []
        for model in models:
            quoted = "" if model["accuracy_source"].startswith("measured") else " (quoted)"
            text = f"{model['name']}\n{model['fps']:.0f} FPS, {_millions(model)}\n{model['accuracy']:.1%}{quoted}"
            if model["name"].startswith(SIZES):  # the table has the rest
                text = f"{model['name'].removeprefix(SIZES)}\n{model['accuracy']:.1%}"
            labels.append((model, text))
            _bubble(axes, model, color=ORANGE if model["name"].startswith("ResNet") else BLUE, alpha=0.75)
        for quoted_one, color in zip(PUBLISHED, (BLUE, ORANGE), strict=True):
            text = (f"{quoted_one['name']}\n{quoted_one['fps']:.0f} FPS, {_millions(quoted_one)}\n"
                    f"{quoted_one['accuracy']:.1%} (published)")
            labels.append((quoted_one, text))
            # Accuracy on training images is no test accuracy, though it stands on the same axis: another shape.
            marker = "D" if quoted_one["what"].startswith("training") else "o"
            _bubble(axes, quoted_one, facecolor="none", edgecolor=color, linestyle=(0, (2, 1.5)), linewidth=1.2,
                    marker=marker)
        if joined := sizes(models):
            axes.plot(*zip(*joined, strict=True), color=BLUE, linewidth=1, zorder=0)
        points: list[Point] = [*models, *PUBLISHED]
        axes.set_xscale("log")
        axes.set_xlim(min(p["fps"] for p in points) / 3.2, max(p["fps"] for p in points) * 3.2)
        low, high = min(p["accuracy"] for p in points), max(p["accuracy"] for p in points)
        axes.set_ylim(low - 0.6 * (high - low) - 0.01, high + 0.6 * (high - low) + 0.01)
        axes.set_xlabel("images per second, batch size 1 (logarithmic)")
        axes.set_ylabel(f"test accuracy{_pixels_of(models)} (diamond: training)")
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0))
        _label(axes, labels)
    return draw


def _pixels_of(models: Sequence[Point]) -> str:
    """Which pixels the measured accuracies are of, where all are of CIFAR-10's test split and of the same."""
    splits = {model["accuracy_source"].partition(": ")[2] for model in models
              if model["accuracy_source"].startswith("measured")}
    pixels = {JPEG_COPY: ", JPEG copy", CANONICAL: ", canonical pixels"}
    return pixels.get(splits.pop(), "") if len(splits) == 1 else ""


def sizes(models: Sequence[Point]) -> list[tuple[float, float]]:
    """(FPS, accuracy) of our network in its other sizes, from the slowest on: what is joined by a line."""
    return sorted((model["fps"], model["accuracy"]) for model in models if model["name"].startswith(SIZES))


def _bubble(axes: Axes, model: Point, **style: Any) -> None:
    axes.scatter([model["fps"]], [model["accuracy"]], s=_area(model), **style)


def _area(model: Point) -> float:
    return 36 * model["params"] / 0.44e6                        # in square points: the radius of ours is 3


@dataclass(frozen=True)
class Place:
    """Where a text may stand: by how many points from its bubble and aligned how, its box, and what that costs."""

    offset: tuple[float, float]
    across: str
    along: str
    box: Bbox
    cost: float


def _label(axes: Axes, labels: list[tuple[Point, str]]) -> None:
    """Write each text above, below or beside its bubble: of many ways to do so, that with the least overlap."""
    assert isinstance(axes.figure, Figure)
    axes.figure.draw_without_rendering()  # the layout, which says how large a point of the data is
    scale = axes.figure.dpi / 72
    bubbles = []
    for model, _ in labels:
        x, y = axes.transData.transform((model["fps"], model["accuracy"]))
        radius = scale * _area(model) ** 0.5 / 2
        bubbles.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
    choices = [_places(axes, text, scale, bubbles, i) for i, (_, text) in enumerate(labels)]
    for (model, text), places, kept in zip(labels, choices, _least_overlap(choices), strict=True):
        place = places[kept]
        axes.annotate(text, (model["fps"], model["accuracy"]), place.offset, fontsize=9, ha=place.across,
                      va=place.along, textcoords="offset points")


def _places(axes: Axes, text: str, scale: float, bubbles: list[Bbox], own: int) -> list[Place]:
    """The twelve places for a text that are the best by themselves: around its bubble, ``own``."""
    note = axes.text(0, 0, text, fontsize=9)
    width, height = note.get_window_extent().size
    note.remove()
    inside, bubble = axes.get_window_extent(), bubbles[own]
    radius = bubble.width / 2 / scale
    offsets = [((0.0, sign * (radius + gap)), side, va) for gap, (sign, va), side in itertools.product(
        (4, 24, 48), ((1, "bottom"), (-1, "top")), ("center", "left", "right"))]
    offsets += [((sign * (radius + gap), 0.0), side, "center") for gap, (sign, side) in itertools.product(
        (4, 12), ((1, "left"), (-1, "right")))]
    places: list[Place] = []
    for offset, across, along in offsets:
        x, y = (bubble.p0 + bubble.p1) / 2 + scale * np.array(offset)
        x -= {"left": 0, "center": width / 2, "right": width}[across]
        y -= {"bottom": 0, "center": height / 2, "top": height}[along]
        box = Bbox.from_bounds(x, y, width, height)
        # Lost and covered area in square pixels, more of it where something is; a little for a later place; and what a
        # small bubble's area would not say, for each that is nearer to the text than its own, or hidden.
        within, *covered = _overlaps([box], [inside, *bubbles])[0]
        cost = 10 * len(places) + 20 * (width * height - within + sum(covered))
        near = _distance(box, bubble)
        cost += sum(2000 for each in bubbles if each is not bubble and _distance(box, each) <= near)
        cost += sum(5000 for each, area in zip(bubbles, covered, strict=True) if 2 * area > each.width * each.height)
        places.append(Place(offset, across, along, box, cost))
    return sorted(places, key=lambda place: place.cost)[:12]


def _least_overlap(choices: list[list[Place]]) -> tuple[int, ...]:
    """For each text which of its places to take: each moves to the best beside the others until none does, from many
    beginnings."""
    boxes = [[place.box for place in places] for places in choices]
    shared = {(a, b): _overlaps(boxes[a], boxes[b]) for a, b in itertools.permutations(range(len(choices)), 2)}

    def badness(chosen: list[int], a: int, i: int) -> float:
        return choices[a][i].cost + 50 * sum(shared[a, b][i][chosen[b]] for b in range(len(choices)) if b != a)

    def settled(chosen: list[int]) -> list[int]:
        for a, places in enumerate(choices):
            best = min(range(len(places)), key=lambda i: badness(chosen, a, i))
            if badness(chosen, a, best) < badness(chosen, a, chosen[a]):
                return settled([*chosen[:a], best, *chosen[a + 1:]])
        return chosen

    def whole(chosen: list[int]) -> float:  # what two texts share counts for both
        return sum((places[i].cost + badness(chosen, a, i)) / 2 for a, (places, i) in
                   enumerate(zip(choices, chosen, strict=True)))

    drawn = random.Random(0)
    found: list[list[int]] = [settled([drawn.randrange(len(places)) for places in choices]) for _ in range(40)]
    best = min(found, key=whole)
    return tuple(best)


def _overlaps(ones: Sequence[Bbox], others: Sequence[Bbox]) -> list[list[float]]:
    """The area that each of some boxes shares with each of others, in square pixels."""
    a, b = (np.array([box.extents for box in boxes]) for boxes in (ones, others))
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    areas: list[list[float]] = sides.clip(0).prod(-1).tolist()
    return areas


def _distance(a: Bbox, b: Bbox) -> float:
    """Pixels between two boxes at the nearest; 0 if they meet."""
    return float(np.hypot(max(a.x0 - b.x1, b.x0 - a.x1, 0), max(a.y0 - b.y1, b.y0 - a.y1, 0)))


def _millions(model: Point) -> str:
    return f"{model['params'] / 1e6:.2g} M" if model["params"] < 1e6 else f"{model['params'] / 1e6:.1f} M"


def curves(history: list[Epoch], quantity: str, before: int = 0) -> Draw:
    """Loss or accuracy (``quantity``) by epoch, of the training images as they ran and of those that were watched.

    A line marks where the first ``before`` epochs, of another run with other settings, end.
    """
    def draw(axes: Axes) -> None:
        epochs = [record["epoch"] for record in history]
        watched = "validation" if f"validation_{quantity}" in history[-1] else "test"
        last = history[-1]
        names = sorted(("train", watched), key=lambda name: last[f"{name}_{quantity}"])
        for name, side in zip(names, ("top", "bottom"), strict=True):   # the lower label below, so that they never meet
            values, color = [record[f"{name}_{quantity}"] for record in history], BLUE if name == "train" else ORANGE
            axes.plot(epochs, values, color=color, linewidth=2, marker="o" if len(epochs) == 1 else None)
            axes.annotate(name, (epochs[-1], values[-1]), (5, 0), textcoords="offset points", color=color,
                          fontweight="bold", va=side)
        if before:
            axes.axvline(before + 0.5, color=INK, alpha=0.6, linewidth=1, linestyle=(0, (4, 3)))
            height = 0.03 if quantity == "accuracy" else 0.93  # where the curves are not
            axes.annotate(f"other settings after epoch {before} ", (before + 0.5, height), fontsize=8, ha="right",
                          xycoords=axes.get_xaxis_transform())
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        axes.margins(y=0.12)
        axes.set_xlim(min(epochs) - 0.5 * (len(epochs) == 1), max(epochs) + 0.18 * (max(epochs) - min(epochs)) + 0.1)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xticks([tick for tick in axes.get_xticks() if min(epochs) <= tick <= max(epochs)])
        if quantity == "accuracy":
            low, high = axes.get_ylim()
            if high - low < LEAST_RANGE:
                low = min(max((low + high - LEAST_RANGE) / 2, -0.005), 1.005 - LEAST_RANGE)
                axes.set_ylim(low, low + LEAST_RANGE)
            axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator("auto", steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0))
    return draw


def class_bars(evaluation: Evaluation) -> Draw:
    """Accuracy of each class, the best on top; of many classes those with the lowest."""
    def draw(axes: Axes) -> None:
        accuracies = shown_classes(evaluation)
        bars = axes.barh(range(len(accuracies)), list(accuracies.values()), color=BLUE)
        axes.set_yticks(range(len(accuracies)), [_short(name) for name in accuracies])
        size = 10 if len(accuracies) <= 12 else 7
        axes.bar_label(bars, [f"{accuracy:.1%}" for accuracy in accuracies.values()], padding=3, fontsize=size)
        axes.set_xlim(0, 1.15)
        axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0))
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.tick_params("y", labelsize=size)
    return draw


def shown_classes(evaluation: Evaluation) -> dict[str, float]:
    """The accuracies that :func:`class_bars` draws, the lowest first."""
    known = {name: a for name, a in evaluation["per_class_accuracy"].items() if a is not None}
    names = sorted(known, key=known.__getitem__)
    return {name: known[name] for name in (names if len(names) <= MOST_CLASSES else names[:BARS])}


def confusion(evaluation: Evaluation) -> Draw:
    """True class by predicted class, in percent of the true class; of many classes the confusions made most, in images.

    What is drawn for a true and a predicted label is a group with the id ``cell-TRUE-PREDICTED``.
    """
    many = len(evaluation["class_names"]) > MOST_CLASSES
    return _confusion_bars(evaluation) if many else _confusion_matrix(evaluation)


def _confusion_matrix(evaluation: Evaluation) -> Draw:
    def draw(axes: Axes) -> None:
        names, counts = [_short(name) for name in evaluation["class_names"]], np.array(evaluation["confusion_matrix"])
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)    # the root, so that small errors are seen
        for (row, column), value in np.ndenumerate(share):
            if (percent := f"{100 * value:.0f}") != "0":
                axes.text(column, row, percent, ha="center", va="center", fontsize=8 if len(names) <= 12 else 5,
                          color="white" if value > 0.5 else "black")
            if value:
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=0,
                                         zorder=4, gid=f"cell-{row}-{column}"))  # over the numbers
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=10 if len(names) <= 12 else 6)
    return draw


def _confusion_bars(evaluation: Evaluation) -> Draw:
    def draw(axes: Axes) -> None:
        names, mistakes = [_short(name) for name in evaluation["class_names"]], most_confused(evaluation, BARS)
        bars = axes.barh(range(len(mistakes)), [count for count, _, _ in mistakes], color=BLUE)
        axes.bar_label(bars, [f"{count:,}" for count, _, _ in mistakes], padding=3)
        for bar, (_, true, predicted) in zip(bars, mistakes, strict=True):
            bar.set_gid(f"cell-{true}-{predicted}")
        axes.set_yticks(range(len(mistakes)), [f"{names[true]} → {names[said]}" for _, true, said in mistakes])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator("auto", integer=True))
        axes.set_xlabel("images")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.tick_params("y", labelsize=8)
        axes.margins(x=0.15)
    return draw


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"

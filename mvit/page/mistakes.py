"""The pictures behind a cell of the confusion matrix, where the folder of the data is at hand."""

import base64
import html
import os
import re
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import gradio as gr
import torch
from PIL import Image

from mvit.data.pictures import PictureError, load_picture, to_network_size
from mvit.inference.classifier import as_pixels
from mvit.page.charts import MOST_CLASSES
from mvit.page.checkpoints import folder_of, usable
from mvit.page.data import NotAtHandError, evaluated_pictures
from mvit.page.events import LAST
from mvit.page.pictures import as_png
from mvit.storage.files import version
from mvit.storage.formats import Evaluation
from mvit.storage.records import Records

SHOWN, SIDE = 24, 96  # pictures, and their side in pixels at most
MOST, SECONDS = 1000, 10  # of a class: how many pictures are classified for an answer, and for how long
WORKING = "The pictures of another cell are being looked for: please try again in a moment."

# A click chooses a cell, and so do Enter and Space; the arrow keys go from one to the next, over empty ones.
CHOOSE = """
const STEPS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}
const send = mvit.withLatest(trigger), choose = cell => send('click', {cell: place(cell)})
const place = cell => cell.dataset.cell.split('-').map(Number)

element.addEventListener('click', event => {
    const cell = event.target.closest('[data-cell]')
    if (cell) choose(cell)
})
element.addEventListener('keydown', event => {
    const cell = event.target.closest('[data-cell]'), step = STEPS[event.key]
    if (!cell || !(step || event.key == 'Enter' || event.key == ' ')) return
    event.preventDefault()
    if (!step) return choose(cell)
    const [row, column] = place(cell)
    for (let i = 1; i < 100; i++) {
        const next = element.querySelector(`[data-cell="${row + i * step[0]}-${column + i * step[1]}"]`)
        if (next) return next.focus()
    }
})
"""


@dataclass
class Row:
    """What a network makes of a class's pictures, of each that can be read the file, the label of the answer, and its
    confidence; and how many were looked at."""

    files: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    looked: int = 0


def choosable(chart: str, evaluation: Evaluation) -> str:
    """A chart of :func:`mvit.page.charts.confusion` whose cells are buttons with words.

    Of a matrix the Tab key reaches the diagonal, and the arrow keys the others from there; of bars, it reaches all.
    """
    many = len(evaluation["class_names"]) > MOST_CLASSES

    def button(match: re.Match[str]) -> str:
        row, column = int(match[1]), int(match[2])
        words = _words(evaluation, row, column, evaluation["confusion_matrix"][row][column])
        return (f'<g data-cell="{row}-{column}" role="button" tabindex="{0 if many or row == column else -1}" '
                f'aria-label="{html.escape(words)}: show them">')

    return re.sub(r'<g id="cell-(\d+)-(\d+)">', button, chart).replace('role="img"', 'role="group"', 1)


def _words(evaluation: Evaluation, row: int, column: int, count: int) -> str:
    names = evaluation["class_names"]
    pictures = f"{count:,} picture{'s' * (count != 1)}"
    return f"{names[row]} {f'taken for {names[column]}' if row != column else 'known as such'}, {pictures}"


def show_chosen(event: gr.EventData, checkpoint: str) -> str:
    """The pictures behind the cell that was chosen, as HTML, or in a sentence why they cannot be shown."""
    usable(checkpoint)
    evaluation, cell = Records.read(folder_of(checkpoint)).evaluation, event._data.get("cell")
    classes = len(evaluation["class_names"]) if evaluation else 0
    if not evaluation or not (isinstance(cell, list) and len(cell) == 2
                              and all(type(label) is int and 0 <= label < classes for label in cell)):
        raise gr.Error("These weights have no such cell. Load the page again.", print_exception=False)
    row, column = cell
    words = _words(evaluation, row, column, evaluation["confusion_matrix"][row][column])
    found, pictures = _behind(checkpoint, row, column)
    # By which weights: other ones may have been chosen while these were at work.
    return (f"<p><b>{html.escape(words)}, by the weights {html.escape(checkpoint)}.</b> {found}</p>"
            f"<div class='pictures'>{''.join(pictures)}</div>")


def _behind(checkpoint: str, row: int, column: int) -> tuple[str, list[str]]:
    """(in a sentence what is shown, or why nothing is; the pictures), as HTML."""
    if not _looking.acquire(blocking=False):
        return WORKING, []
    try:
        pictures = evaluated_pictures(checkpoint)
        files = [pictures.files[i] for i in (pictures.labels == row).nonzero()[:, 0].tolist()]
        found = _classified(checkpoint, version(folder_of(checkpoint)), tuple(files[:MOST]))
        chosen = sorted((i for i, answer in enumerate(found.answers) if answer == column),
                        key=lambda i: -found.confidences[i])
        looked = f" Of its {len(files):,} the first {found.looked:,} were looked at." * (found.looked < len(files))
    except NotAtHandError as why:
        return str(why), []
    finally:
        _looking.release()
    most = f" The {SHOWN} most confident of them are shown." if len(chosen) > SHOWN else ""
    size = usable(checkpoint).model.config.image_size
    return (f"Found here: {len(chosen):,}.{most}{looked}",
            [_figure(found.files[i], found.confidences[i], size) for i in chosen[:SHOWN]])


_looking = threading.Lock()  # one at a time: the others' threads are for all else that visitors do


@lru_cache(64)
def _row(_checkpoint: str, _version: tuple, _files: tuple[str, ...]) -> Row:
    """What is known of these files: at first nothing."""
    return Row()


@torch.inference_mode()
def _classified(checkpoint: str, version_now: tuple, files: tuple[str, ...]) -> Row:
    """What the network makes of these files, of as many as there is time for; the next time it goes on from there."""
    model, end = usable(checkpoint).model, time.monotonic() + SECONDS
    row = _row(checkpoint, version_now, files)
    while row.looked < len(files) and time.monotonic() < end:
        some = files[row.looked:row.looked + 50]
        seen = [(file, pixels) for file in some if (pixels := _pixels(file, model.config.image_size)) is not None]
        if seen:
            images = torch.cat([pixels for _, pixels in seen])
            confidences, answers = model.probabilities(model(model.normalize(images))).max(1)
            row.files.extend(file for file, _ in seen)
            row.answers.extend(answers.tolist())
            row.confidences.extend(confidences.tolist())
        row.looked += len(some)
    return row


def _pixels(file: str, size: int) -> torch.Tensor | None:
    try:
        return as_pixels(to_network_size(load_picture(file), size))
    except PictureError:
        return None


def _figure(file: str, confidence: float, size: int) -> str:
    picture = to_network_size(load_picture(file), size)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    name = html.escape(os.fsencode(Path(file).name).decode(errors="replace"))
    source = base64.b64encode(as_png(picture)).decode()
    return (f"<figure><img src='data:image/png;base64,{source}' alt='{name}' title='{name}'>"
            f"<figcaption>{confidence:.1%}</figcaption></figure>")


def mistakes_under(figures: gr.HTML, checkpoint: gr.Dropdown) -> None:
    """Under the charts: what is behind the cell that is chosen in them, until other weights are chosen."""
    gr.Markdown("Choose a cell of the confusion matrix (of many classes, a bar) to see the pictures behind it.",
                elem_classes="note")
    shown = gr.HTML(elem_id="behind")
    figures.click(show_chosen, checkpoint, shown, **LAST)
    checkpoint.change(lambda: "", None, shown, **LAST)

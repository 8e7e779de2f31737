"""The Training tab: how the weights came to be, and what they get right and wrong."""

import html

import gradio as gr

from mvit.evaluation.mistakes import most_confused
from mvit.page import charts
from mvit.page.checkpoints import folder_of
from mvit.page.crowd import made_once
from mvit.page.mistakes import CHOOSE, choosable, mistakes_under
from mvit.storage.files import version
from mvit.storage.formats import Evaluation
from mvit.storage.records import Records

NO_GAIN = 0.001  # of expected calibration error, that is 0.1 points: less than its estimate varies by


def training_figures(checkpoint: str) -> str:
    """A checkpoint's curves, accuracy by class and confusion matrix, from its own files, as HTML."""
    return _training_figures(checkpoint, version(folder_of(checkpoint)))


@made_once(maxsize=16)
def _training_figures(checkpoint: str, _version: tuple) -> str:
    records = Records.read(folder_of(checkpoint))
    history, evaluation = records.history, records.evaluation
    figures, begun = [], ""
    try:
        if history:
            last = history[-1]
            if records.epochs_before:
                begun = (f" Epochs 1 to {records.epochs_before} are another run's, with other settings: the commands "
                         "of both are in the weights' card.")
            for quantity in ("accuracy", "loss"):
                words = (f"{quantity} by epoch, after {last['epoch']} epoch{'s' * (last['epoch'] != 1)}: train "
                         f"{last[f'train_{quantity}']:.3f}, {records.watched} "
                         f"{last[f'{records.watched}_{quantity}']:.3f}")
                figures.append((quantity.capitalize(), charts.svg(
                    charts.curves(history, quantity, records.epochs_before), 4.6, 3.2, words)))
        if evaluation:
            words = ", ".join(f"{n} {a:.1%}" for n, a in charts.shown_classes(evaluation).items())
            many = len(evaluation["class_names"]) > charts.MOST_CLASSES
            lowest = f": the {charts.BARS} lowest" if many else ""
            title = f"Per-class accuracy, in all {evaluation['accuracy']:.1%}{lowest}"
            height = 3.6 if len(evaluation["class_names"]) <= 12 else 4.6
            figures.append((title, charts.svg(charts.class_bars(evaluation), 4.6, height, words)))
            title = "Most confused: true class → answer" if many else "Confusion matrix: percent of each true class"
            figures.append((title, choosable(charts.svg(charts.confusion(evaluation), 4.6, 4.6,
                                                        most_mistaken(evaluation)), evaluation)))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return f"<p>The files of these weights are not as training writes them: {html.escape(str(error))}.</p>"
    if not figures:
        return "<p>These weights came without the history of their training.</p>"
    source = (f"<p class='note'>From history.json and evaluation.json of these weights{_evaluated(evaluation)}. The "
              "training curves are over augmented pictures, and the training loss is against the training targets ("
              f"smoothed labels, for instance).{begun}{_calibrated(evaluation)}</p>")
    return "<div class='charts'>" + "".join(f"<figure><figcaption>{t}</figcaption>{f}</figure>" for t, f in figures
                                            ) + f"</div>{source}"


def most_mistaken(evaluation: Evaluation) -> str:
    """The confusion matrix in words: the three mistakes that are made most."""
    names = evaluation["class_names"]
    return "Confusion matrix. Most often: " + ", ".join(
        f"{names[i]} taken for {names[j]} {n} times" for n, i, j in most_confused(evaluation, 3))


def _evaluated(evaluation: Evaluation | None) -> str:
    return f"; evaluated on: {html.escape(evaluation['split'])}, {evaluation['images']:,} images" if evaluation else ""


def _calibrated(evaluation: Evaluation | None) -> str:
    if not evaluation or evaluation.get("temperature", 1) == 1:
        return ""
    before, after = evaluation["calibration_error_at_temperature_1"], evaluation["calibration_error"]
    if before - after < NO_GAIN:
        return (f" A temperature of {evaluation['temperature']:g} was fitted and makes its confidences no better: "
                f"expected calibration error {after:.1%}, without it {before:.1%}.")
    return (f" Its confidences are scaled by a temperature of {evaluation['temperature']:g}: expected calibration "
            f"error {after:.1%}, without it {before:.1%}.")


def training_tab(checkpoint: gr.Dropdown) -> gr.HTML:
    """What :func:`training_figures` fills; with the pictures behind it, where they are at hand."""
    gr.Markdown("How these weights came to be, and what they get right and wrong.")
    figures = gr.HTML(js_on_load=CHOOSE)
    mistakes_under(figures, checkpoint)
    return figures

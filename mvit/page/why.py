"""“Why this answer?” on the Classify tab: where the network finds what speaks for a class."""

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from mvit.data.pictures import to_network_size
from mvit.documents.rendering import markdown
from mvit.explain.gradcam import HEAT, blend, gradcam, gradcam_figure
from mvit.inference.classifier import as_pixels
from mvit.page.checkpoints import usable
from mvit.page.events import EACH, LAST
from mvit.page.pictures import figure_output, unpack

GREY = 110  # of the picture under the colour bar's colours: there is none
SCALE = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in blend(GREY, HEAT[np.linspace(0, 255, 12).astype(int)]))


def explain_class(name: Any, pixels: str, checkpoint: str) -> tuple[Image.Image, str, str]:
    """Where the network finds what speaks for a class: over the picture, the colours' scale as HTML, in words."""
    model = usable(checkpoint).model
    if name not in model.config.class_names:
        raise gr.Error("These weights have no such class: choose one of those listed.", print_exception=False)
    seen = to_network_size(unpack(pixels), model.config.image_size)
    heat = gradcam(model, as_pixels(seen), model.config.class_names.index(name))[0]
    H, W = heat.shape
    shown, most, total = f"“{markdown(name)}”", heat.max().item(), heat.sum().item()
    words = (f"Bright is where the network finds what speaks for {shown} (Grad-CAM). Each of the {H} × {W} tokens of "
             f"its last feature map adds to the logit of {shown} or takes away: the brightest adds {_short(most)}, "
             f"all that add {_short(total)} together. Those that take away are as dark as those that do neither. A "
             "token also knows what is around it and, by attention, elsewhere: the map shows where evidence is found, "
             "not what it is, nor that the answer is right.")
    if not most:
        words = f"Nothing in this picture speaks for {shown}: no token of the last feature map adds to its logit."
    return gradcam_figure(seen, heat), colour_bar(most), words


def colour_bar(most: float) -> str:
    """What the map's colours stand for, from nothing to the most that a token adds, as HTML."""
    return (f"<div class='colour-bar' role='img' aria-label='Colours from dark, 0, to bright, {_short(most)}'>"
            "<span>0</span>"
            f"<i style='background: linear-gradient(90deg, {SCALE})'></i><span>{_short(most)}</span></div>")


def _short(logit: float) -> str:
    """Two decimals, or two digits of what is small, as in a network that has hardly begun to learn."""
    return f"{logit:.2f}" if logit >= 0.1 else f"{logit:.2g}"


def explain_answer(confidences: dict[str, float] | None, pixels: str, checkpoint: str) -> tuple:
    """The same for the class that was answered, and which there are to choose from; nothing where there is no answer.

    Returns:
        of the section, the choice of class, and what :func:`explain_class` gives.
    """
    if not confidences:
        return gr.Column(visible=False), gr.skip(), gr.skip(), gr.skip(), gr.skip()
    name = max(confidences, key=confidences.__getitem__)
    names = list(usable(checkpoint).model.config.class_names)
    if name not in names:  # other weights have been chosen meanwhile, whose own answer follows
        return tuple(gr.skip() for _ in range(5))
    return gr.Column(visible=True), gr.Dropdown(names, value=name), *explain_class(name, pixels, checkpoint)


def explain_clicked(event: gr.SelectData, pixels: str, checkpoint: str) -> tuple:
    """A click on a class in the answer: the choice of class follows."""
    return event.value, *explain_class(event.value, pixels, checkpoint)


def why_section(answered: gr.events.Dependency, begin: dict[str, float], label: gr.Label, pixels: gr.Textbox,
                checkpoint: gr.Dropdown) -> None:
    """The section, filled once an answer stands on the page, so that the answer does not wait for it.

    Until then it is of the answer that the page begins with (``begin``).
    """
    name = max(begin, key=begin.__getitem__)
    heat, colours, text = explain_class(name, pixels.value, checkpoint.value)
    with gr.Column() as section:
        gr.Markdown("### Why this answer?")
        with gr.Row():
            with gr.Column(min_width=260, scale=0):
                figure = figure_output("The picture in grey, bright where the network finds what speaks for the class",
                                       value=heat, height=262, elem_id="why")
                scale = gr.HTML(colours)
            with gr.Column(min_width=260):
                chosen = gr.Dropdown(list(begin), value=name, interactive=True, elem_id="why-class",
                                     label="Class to explain (or click on one above)")
                words = gr.Markdown(text)
    shown, subject = [figure, scale, words], [pixels, checkpoint]
    answered.then(explain_answer, [label, *subject], [section, chosen, *shown], **LAST)
    # Not preprocessed: Gradio would refuse a class of weights that were chosen a moment ago.
    chosen.input(explain_class, [chosen, *subject], shown, preprocess=False, **LAST)
    label.select(explain_clicked, subject, [chosen, *shown], **EACH)

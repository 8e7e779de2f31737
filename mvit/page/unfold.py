"""The Unfold tab: a guided walk through a block, the block at choice (free mode), and the lens."""

import asyncio
import html
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
import gradio as gr
from PIL import Image

from mvit.data.pictures import to_network_size
from mvit.explain.attention import BlockAttention, Layer
from mvit.explain.probes import Probes
from mvit.explain.unfolding import (
    SIZE,
    WALK,
    WALK_BLOCK,
    BlockInside,
    attention_figure,
    folding_figure,
    grid_figure,
    guided_walk,
    heads_figure,
    look_inside,
    most_decided,
    shapes,
    strongest,
    unfolding_figure,
)
from mvit.inference.classifier import as_pixels
from mvit.page.checkpoints import usable
from mvit.page.crowd import made_once
from mvit.page.events import AT_ONCE, LAST
from mvit.page.pictures import as_png, figure_output, unpack
from mvit.storage.checkpoint import Records
from mvit.storage.files import version

TOKEN, PATCH, ALL = "this token", "its whole patch", "all tokens"  # what the query is
MEAN = ROLLOUT = -1  # a radio button's value is a number here: not a head, not a layer


class Subject(NamedTuple):
    """What the Unfold tab is about: a picture as the network is given it, and the folder of the weights."""

    seen: Image.Image
    checkpoint: str


def inside(subject: Subject, number: int) -> BlockInside:
    """What a block does with the picture (the last, if it has fewer); some milliseconds, so that nothing is kept."""
    model = usable(subject.checkpoint).model
    insides = look_inside(model, as_pixels(to_network_size(subject.seen, model.config.image_size)))
    return insides[min(number, len(insides)) - 1]


def unfold(pixels: str, checkpoint: str, number: int, view: str) -> list:
    """All of the Unfold tab: the guided walk, the lens, and the free mode at a block."""
    return list(_unfold(pixels, checkpoint, version(Path(checkpoint)), number, view))


@made_once(maxsize=64)  # of 150 kB; above all the picture that everybody begins with
def _unfold(pixels: str, checkpoint: str, _version: tuple, number: int, view: str) -> tuple:
    subject = Subject(unpack(pixels), checkpoint)
    parts = *walk_figures(subject), lens_table(subject), *choose_block(subject, number, view)
    return tuple(as_png(part) if isinstance(part, Image.Image) else part for part in parts)


def walk_figures(subject: Subject) -> list:
    """A figure and a text for each step of the guided walk, one after the other."""
    answer = usable(subject.checkpoint)(subject.seen)
    steps = guided_walk(answer.seen, inside(subject, WALK_BLOCK), answer.confidences)
    return [part for step in steps for part in (step.figure, f"### {step.title}\n{step.text}")]


def lens_table(subject: Subject) -> str:
    """What linear probes read out of the network at each depth, as an HTML table."""
    classifier, probes = usable(subject.checkpoint), Probes.load(subject.checkpoint)
    if probes is None or not probes.match(classifier.model):
        return "<p>These weights have no probes; <code>python -m mvit.probes CHECKPOINT</code> makes them.</p>"
    names = classifier.model.config.class_names
    pixels = as_pixels(to_network_size(subject.seen, classifier.model.config.image_size))
    said = []
    for depth, probabilities in probes(classifier.model, pixels).items():
        confidence, best = probabilities[0].max(0)
        said.append((depth, names[int(best)], confidence.item(), f"{probes.accuracy[depth]:.1%}"))
    evaluation = Records.read(Path(subject.checkpoint)).evaluation
    right = f"{evaluation['accuracy']:.1%}" if evaluation and evaluation["split"] == probes.measured_on else ""
    said.append(("all: its answer", *classifier(subject.seen).best, right))
    cells = [f"<tr><th scope='row'>{depth}</th><td>{html.escape(name)}</td>"
             f"<td><span class='bar' style='width:{60 * confidence:.0f}px'></span> {confidence:.0%}</td>"
             f"<td>{right}</td></tr>" for depth, name, confidence, right in said]
    return ("<table class='figures lens'><thead><tr><th>after</th><th>it would say</th><th>confidence</th>"
            f"<th>right on test pictures</th></tr></thead><tbody>{''.join(cells)}</tbody></table>"
            "<p class='note'>A linear probe on the mean of each channel of the feature map, and last the network's "
            "own answer; accuracies were "
            f"measured on the {html.escape(probes.measured_on)}.</p>")


def another_block(pixels: str, checkpoint: str, number: int, view: str) -> tuple:
    return choose_block(Subject(unpack(pixels), checkpoint), number, view)


def choose_block(subject: Subject, number: int, view: str) -> tuple:
    """Another block: its controls, beginning at the token whose attention is least uniform, and all its figures.

    All at once: what came a step later would undo what the visitor has clicked in between.
    """
    chosen, seen = inside(subject, number), subject.seen
    block, (H, W) = chosen.attention, chosen.attention.map_size
    layers = [*((str(i + 1), i) for i in range(len(block.layers))), ("all (rollout)", ROLLOUT)]
    heads = [("mean", MEAN), *((str(i + 1), i) for i in range(block.layers[0].shape[2]))]
    row, column = most_decided(block)
    P, N = block.layers[0].shape[1], block.layers[0].shape[3]
    return (
        gr.Radio(layers, value=len(block.layers) - 1), gr.Radio(heads, value=MEAN, interactive=True),
        gr.Slider(1, H, value=row + 1), gr.Slider(1, W, value=column + 1),
        f"### {shapes(chosen)}\nThe feature map of {H} × {W} tokens is unfolded into {P} sequences of {N}. Tokens of "
        "one colour stand at the same position in their patch: they are one sequence, and attend to each other only.",
        grid_figure(seen, block), unfolding_figure(seen, block), folding_figure(chosen),
        *show_attention(seen, block, len(block.layers) - 1, MEAN, row + 1, column + 1, view),
    )


def attend(pixels: str, checkpoint: str, number: int, layer: int, head: int, row: int, column: int,
           view: str) -> tuple[Image.Image, Image.Image, str]:
    """What a token attends to: over the picture, head by head, and in words."""
    subject = Subject(unpack(pixels), checkpoint)
    return show_attention(subject.seen, inside(subject, number).attention, layer, head, row, column, view)


def show_attention(seen: Image.Image, block: BlockAttention, layer: int, head: int, row: int, column: int,
                   view: str) -> tuple[Image.Image, Image.Image, str]:
    (H, W), N = block.map_size, block.layers[0].shape[3]
    # The controls follow a new block one after the other; until they all have, what they say may not exist in it.
    which: Layer = "rollout" if layer == ROLLOUT else min(layer, len(block.layers) - 1)
    of_head = None if head == MEAN or which == "rollout" else head
    at = _within(row, H), _within(column, W)
    figures = (attention_figure(seen, block, which, of_head, at if view != ALL else None, view == PATCH),
               heads_figure(seen, block, which, at if view != ALL else None, view == PATCH))
    if view == ALL:
        return *figures, ("The attention weight of each token as a key: the mean over all queries of its sequence. A "
                          f"chosen token counts again with “{TOKEN}”.")
    if view == PATCH:
        return *figures, ("The attention weight of each patch for the framed token's patch as query: the mean over the "
                          "positions in the patch, each of which attends to its own colour only.")
    to_row, to_column, share = strongest(block, which, of_head, at)
    even = f"uniform attention would give {1 / N:.1%} to each of the {N} tokens of its colour"
    if which == "rollout":
        even = "through all layers (rollout), and half of every layer is the token itself"
    return *figures, (f"The framed token (row {at[0] + 1}, column {at[1] + 1}) is the query. Its largest attention "
                      f"weight, **{share:.1%}**, goes to the key in row {to_row + 1}, column {to_column + 1}; {even}. "
                      "Tokens of the other colours are not among its keys: they reach it through convolutions.")


def _within(typed: float | None, size: int) -> int:
    """A row or column that was typed, counted from 1, as the nearest that there is, counted from 0."""
    return min(max(round(typed or 1), 1), size) - 1


async def clicked(event: gr.SelectData, *options: Any) -> tuple:
    """What :func:`chosen_token` gives, in the order of the clicks: of quick ones the last is what remains."""
    async with _in_order:
        return await anyio.to_thread.run_sync(chosen_token, event, *options)


_in_order = asyncio.Lock()  # which is fair


def chosen_token(event: gr.SelectData, pixels: str, checkpoint: str, number: int, layer: int, head: int,
                 view: str) -> tuple:
    """A click in a figure of the block's feature map: the row and column there, and what that token attends to."""
    subject = Subject(unpack(pixels), checkpoint)
    block = inside(subject, number).attention
    H, W = block.map_size
    x, y = event.index                                                              # pixels of the figure
    row, column = int(y * H / SIZE) + 1, int(x * W / SIZE) + 1
    return row, column, *show_attention(subject.seen, block, layer, head, row, column, view)


def walk_layout() -> list[gr.Component]:
    """The guided walk: a figure and a text for each step, in the order of :func:`walk_figures`."""
    parts = []
    with gr.Walkthrough(selected=0) as walkthrough:
        for i, title in enumerate(WALK):
            with gr.Step(title, id=i):
                with gr.Row():  # above, where they stay in their place from step to step, on a phone too
                    for name, to, variant in (("Back", i - 1, "secondary"), ("Next", i + 1, "primary")):
                        button = gr.Button(name, variant=variant, interactive=0 <= to < len(WALK), size="md",
                                           min_width=100, elem_classes=f"walk-{name.lower()}")
                        button.click(partial(gr.Walkthrough, selected=to), None, walkthrough,
                                     **AT_ONCE).then(
                            None, js=f"() => mvit.keepFocus('{name.lower()}')", api_visibility="private")
                with gr.Row():
                    with gr.Column(scale=3):
                        parts.append(figure_output(f"Step {i + 1}: {title}", height=400,
                                                   elem_classes="walk-figure"))
                    with gr.Column(scale=2):
                        parts.append(gr.Markdown())
    return parts


class FreeMode(NamedTuple):
    """Components of the free mode: the block, what :func:`choose_block` fills, in its order, and the view."""

    number: gr.Radio
    layer: gr.Radio
    head: gr.Radio
    row: gr.Slider
    column: gr.Slider
    caption: gr.Markdown
    grid: gr.Image
    sequences: gr.Image
    folded: gr.Image
    figure: gr.Image
    heads: gr.Image
    words: gr.Markdown
    view: gr.Radio


def free_layout() -> FreeMode:
    """A block at choice: its controls, and what they show."""
    with gr.Row():
        number = gr.Radio([1, 2, 3], value=2, label="Block")
        layer = gr.Radio([], label="Layer")
        head = gr.Radio([], label="Head")
        view = gr.Radio([TOKEN, PATCH, ALL], value=TOKEN, label="Query")
    with gr.Row():
        with gr.Column():
            gr.Markdown("**Click a token: what does it attend to?**")
            figure = figure_output("The picture, lit by the chosen token's attention weights",
                                   elem_id="attention")
            words = gr.Markdown()
            with gr.Row():
                row = gr.Slider(1, 8, step=1, label="Row", min_width=200, buttons=[])
                column = gr.Slider(1, 8, step=1, label="Column", min_width=200, buttons=[])
            gr.Markdown("**The mean of the heads, then head by head** (through all layers: the mean alone)")
            heads = figure_output("The same for the mean of all heads and for each head")
        with gr.Column():
            caption = gr.Markdown()
            with gr.Row():
                with gr.Column(min_width=150):
                    gr.Markdown("**The feature map**, strong lines between patches, a colour for each "
                                "position in the patch")
                    grid = figure_output("The picture under the feature map's grid", elem_id="grid")
                with gr.Column(min_width=150):
                    gr.Markdown("**Unfolded**: a sequence for each colour, from top left in reading order")
                    sequences = figure_output("The sequences, each a coarse copy of the picture")
            gr.Markdown("**Folded back and fused**: the L2 norm of each token, from the smallest (black) to "
                        "the largest of each panel: in the feature map that the block was given, in what its "
                        "transformer added, in the one that it passes on")
            folded = figure_output("Three feature maps: given, added, passed on")
    return FreeMode(number, layer, head, row, column, caption, grid, sequences, folded, figure, heads, words, view)


def unfold_tab(tab: gr.Tab, pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """The guided walk, the free mode and the lens, over the picture that was classified last."""
    gr.Markdown("What happens inside: the network cuts its feature map into patches, *unfolds* it into sequences, "
                "lets the tokens of each attend to one another, and folds it back. Here with the picture that was last "
                "on the first tab, or an example.")
    with gr.Tabs():
        with gr.Tab("Guided walk"):
            parts = walk_layout()
        with gr.Tab("Free mode"):
            free = free_layout()
        with gr.Tab("Lens"):
            gr.Markdown("If the network had to answer already after its stem, or after each block: what would it say?")
            table = gr.HTML()
    number, *block_parts, view = free
    subject, controls = [pixels, checkpoint], [free.layer, free.head, free.row, free.column, view]
    attended = [free.figure, free.heads, free.words]
    # What the tab is to show, which follows the subject while the tab is open; its figures are made when it changes.
    wanted = gr.Textbox("", visible=False)
    tab.select(None, subject, wanted, js="(...subject) => mvit.subject(...subject)", api_visibility="private")
    gr.on([pixels.change, checkpoint.change], None, [*subject, wanted], wanted, api_visibility="private",
          js="(...subject) => mvit.subjectIfOpen(...subject)")
    wanted.change(unfold, [*subject, number, view], [*parts, table, *block_parts], **LAST)
    number.input(another_block, [*subject, number, view], block_parts, **LAST)
    # Not preprocessed: Gradio would refuse a click that, another block on its way, comes with the old one's choices.
    gr.on([control.input for control in controls], attend, [*subject, number, *controls], attended,
          preprocess=False, **LAST)
    # Every click is sent: of clicks that wait, "always_last" sends the first once more (6.31).
    gr.on([free.figure.select, free.grid.select], clicked, [*subject, number, free.layer, free.head, view],
          [free.row, free.column, *attended], preprocess=False, **{**LAST, "trigger_mode": "multiple"})
    free.layer.input(lambda layer: gr.Radio(interactive=layer != ROLLOUT), free.layer, free.head, preprocess=False,
                     **LAST)

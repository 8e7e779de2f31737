"""The page, put together from its tabs."""

import inspect
import json
from pathlib import Path

import gradio as gr
import torch
from gradio.utils import LRUCache

from mvit.benchmark.costs import count_parameters
from mvit.documents.rendering import markdown
from mvit.model import CIFAR10_CLASSES, CheckpointError
from mvit.page.attend import attend_endpoint
from mvit.page.checkpoints import about, begun_with, load_classifier, offered, usable
from mvit.page.classify import classify_tab, read_picture
from mvit.page.crowd import MOST_EVENTS, app_options, keep_memory_together
from mvit.page.data import at_hand
from mvit.page.efficiency import efficiency_tab, shipped_benchmark
from mvit.page.events import AT_ONCE, LAST
from mvit.page.examples import examples
from mvit.page.measuring import stop_all
from mvit.page.serving import ServingError
from mvit.page.theme import CSS, HEAD, THEME
from mvit.page.training import training_figures, training_tab
from mvit.page.unfold import choose, example_named, unfold_tab, weights_named
from mvit.page.uploads import guard
from mvit.storage.files import CHECKPOINTS
from mvit.storage.records import find_checkpoints

MOST_NAMES = 30  # of classes that are listed
TABS = ("classify", "unfold", "efficiency", "training")


def opened(checkpoint: str, request: gr.Request) -> tuple:
    """What a page is given when it is opened, in one answer.

    The tab, the example and the weights that its address names; the weights on offer, also those trained since the
    start; and what the Training and Efficiency tabs show.
    """
    asked = request.query_params
    weights = (weights_named(asked["weights"]) if "weights" in asked else None) or checkpoint
    try:
        usable(weights)
    except gr.Error:
        weights = checkpoint
    # Of other weights than the page begins with the first example, too: it may be another, or of another size.
    pixels = example_named(asked.get("example"), weights) if {"example", "weights"} & set(asked) else None
    return (gr.Tabs(selected=asked["tab"]) if asked.get("tab") in TABS else gr.skip(), pixels or gr.skip(),
            gr.Dropdown(list(offered()), value=weights), training_figures(weights), *shipped_benchmark())


def describe(checkpoint: str) -> tuple[str, str, str]:
    """The page's title, its heading and the task, as these weights have them; the last two as Markdown."""
    model = usable(checkpoint).model
    config, parameters = model.config, count_parameters(model)
    size, names = config.image_size, config.class_names
    subject = "CIFAR-10" if names == CIFAR10_CLASSES else f"{len(names):,} class{'es' * (len(names) > 1)}"
    count = f"{parameters / 1e6:.2f} M" if parameters >= 1e5 else f"{parameters:,}"
    return (f"{config.name} on {subject}",
            f"# A vision transformer with {count} parameters\n"
            f"{config.name}, trained on {subject}, pictures of {size} × {size} pixels. {about(checkpoint)}",
            f"Give it a picture; it says which of these it is: {', '.join(map(markdown, names[:MOST_NAMES]))}"
            + (f", and {len(names) - MOST_NAMES:,} more." if len(names) > MOST_NAMES else "."))


def build_page(checkpoints: list[Path], data: Path | None = None) -> gr.Blocks:
    """The page over these checkpoints, the first one chosen; over all that are shipped if none is named.

    Data: a folder of pictures that weights were trained and evaluated on, and that every visitor may see.

    Raises:
        CheckpointError: there are none, or the first cannot be used.
    """
    # Two threads of two cores each would wait for one another; one visitor alone has an answer just as soon. Set before
    # the first network is loaded: beside two busy processes on two cores that took 43 s, and takes 5 s so.
    torch.set_num_threads(1)
    begun_with[:] = checkpoints = checkpoints or find_checkpoints()
    at_hand[:] = [data] if data else []
    if not checkpoints:
        raise CheckpointError(f"There are no weights in {CHECKPOINTS}: train some with python train.py.")
    load_classifier(checkpoints[0])
    first = next(iter(offered()))
    title, heading, request = describe(first)
    shipped_benchmark(), training_figures(first)  # drawn once, here: the first visitor does not wait
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        pixels = gr.Textbox(examples(first).pictures[0].pixels, visible=False)
        with gr.Row(equal_height=True):
            with gr.Column(scale=3):
                headed, titled = gr.Markdown(heading), gr.Textbox(title, visible=False)
            with gr.Column(scale=1, min_width=200):
                checkpoint = gr.Dropdown(list(offered()), label="Weights", interactive=True, filterable=False)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Classify", id="classify") as classify_it:
                task = gr.Markdown(request)
                classify_tab(pixels, checkpoint)
                attend_endpoint(checkpoint)
            with gr.Tab("Unfold", id="unfold", elem_id="unfold") as unfold_it:
                unfold_tab(unfold_it, pixels, checkpoint)
            with gr.Tab("Efficiency", id="efficiency") as weigh_it:
                costs = efficiency_tab(page, checkpoint)
            with gr.Tab("Training", id="training") as train_it:
                figures = training_tab(checkpoint)
        page.load(opened, checkpoint, [tabs, pixels, checkpoint, figures, *costs], **AT_ONCE).then(
            None, js="() => mvit.followTabs()", api_visibility="private")
        follow_address([classify_it, unfold_it, weigh_it, train_it], pixels, checkpoint)
        checkpoint.change(training_figures, checkpoint, figures, **LAST)
        checkpoint.change(describe, checkpoint, [titled, headed, task], **LAST)
        titled.change(None, titled, js="title => { document.title = title }", api_visibility="private")
    spare_gradio_work(page)
    guard(page)
    read_picture.start()
    return page


def follow_address(tabs: list[gr.Tab], pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """An address that follows what is chosen (address.js), and what it names chosen when somebody goes back to it,
    whichever tabs have been opened so far."""
    for tab in tabs:
        tab.select(None, js=f"() => mvit.tabOpened('{tab.id}')", api_visibility="private")
    checkpoint.change(None, checkpoint, js=f"weights => mvit.weightsChosen(weights, {json.dumps(checkpoint.value)})",
                      api_visibility="private")
    gone_back = gr.HTML(padding=False, js_on_load="const send = mvit.withLatest(trigger); "
                        "mvit.choose = names => send('click', names)")
    gone_back.click(choose, checkpoint, [pixels, checkpoint], **LAST)


def spare_gradio_work(page: gr.Blocks) -> None:
    """Bound what is queued, and what Gradio (6.31) looks up and keeps for each visitor and each call."""
    # For each visitor and each call it asks Python for the signature of each of the page's components, which
    # takes longer than the network. Python looks it up where it is noted.
    for component in {type(block) for block in page.blocks.values()}:
        component.__init__.__signature__ = inspect.signature(component.__init__)
    # What is queued: the endpoint and measurements. More of them than MOST_EVENTS waiting are refused.
    page.queue(max_size=MOST_EVENTS)
    # It keeps for each program that ever called a set of its calls under way, and searches them all.
    page._queue.pending_event_ids_session = LRUCache(2000)  # as many as of its messages


def launch(page: gr.Blocks) -> None:
    """Serve the page, and return at once.

    Raises:
        ServingError: it cannot be served there.
    """
    keep_memory_together()
    # max_threads: handlers at work at once. They share one interpreter, so that more would not be faster; some more
    # than there are cores, since some wait for files. state_session_capacity: Gradio keeps a copy of the page's
    # configuration (200 kB) for each visitor and for each call of the endpoint, and of its own accord 10,000 of them.
    # It holds the choices of the page's controls and nothing that cannot be had again.
    try:
        page.launch(theme=THEME, css=CSS, head=HEAD, max_file_size="50mb", max_threads=8, state_session_capacity=300,
                    enable_monitoring=False, app_kwargs=app_options(), prevent_thread_lock=True)
    except Exception as error:  # no free port, and what a machine's network settings may do to Gradio's own requests
        raise ServingError(f"The page could not be served: {error}") from error


def close() -> None:
    """End the processes that the page has started."""
    stop_all()
    read_picture.close()

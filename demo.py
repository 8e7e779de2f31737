"""The page: ``python demo.py``. Drop a picture in and see what a small MobileViT makes of it.

Host and port as everywhere in Gradio: the environment variables GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

import argparse
import asyncio
import atexit
import base64
import hashlib
import html
import inspect
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before the import, which reads it
# After every event Gradio (6.31) makes a table of the last 10,000 for its /monitoring, which takes longer than ours.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

import anyio.to_thread
import gradio as gr
import torch
from gradio.utils import LRUCache
from PIL import Image

from mvit import CheckpointError
from mvit.benchmark.measuring import PUBLISHED, count_parameters, fastest
from mvit.data.examples import example_files, thumbnails
from mvit.data.pictures import PictureError, enlarge, load_picture, to_network_size
from mvit.data.reader import Reader
from mvit.explain.attention import BlockAttention
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
from mvit.inference.classifier import Answer, Classifier, as_pixels
from mvit.page import charts
from mvit.page.crowd import MOST_EVENTS, app_options, keep_memory_together, made_once
from mvit.page.uploads import guard
from mvit.storage.files import CHECKPOINTS, read_json, version, write_json

UNSURE_BELOW = 2 / 3  # share of evaluation pictures it had right when it was about as confident

# The fonts that Gradio itself serves, so that nothing is fetched from elsewhere; of both families its weight 600 is a
# fragment without most letters (gradio 6.31), so 700 stands in.
THEME = gr.themes.Default(
    primary_hue="violet", neutral_hue="slate", radius_size="lg",
    font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
    font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
)
CSS = """
.gradio-container { width: 100%; max-width: min(1080px, 100vw) !important; margin: auto; }
.figures, .figures thead, .figures tbody, .figures tr { border-collapse: collapse; border: none !important; }
.figures th, .figures td { padding: 6px 10px; text-align: left; border: none !important;
                           border-bottom: 1px solid var(--border-color-primary) !important; }
.wide .figures { font-size: var(--text-sm); white-space: nowrap; }
.lens { width: 100%; max-width: 640px; }
.lens .bar { display: inline-block; height: 10px; border-radius: 5px; background: var(--primary-500); }
/* A shadow at an edge behind which there is more of the table; what hides it there moves with the table. */
.wide { overflow-x: auto; margin-bottom: 10px; --hide: var(--body-background-fill) 40%, transparent; background:
  linear-gradient(90deg, var(--hide)) left / 40px 100% no-repeat local,
  linear-gradient(-90deg, var(--hide)) right / 40px 100% no-repeat local,
  radial-gradient(farthest-side at 0 50%, #8888, transparent) left / 14px 100% no-repeat scroll,
  radial-gradient(farthest-side at 100% 50%, #8888, transparent) right / 14px 100% no-repeat scroll; }
/* Six drawings in a row, four on a phone: the eleventh never stands alone. */
.gallery:has(> .gallery-item) { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(68px, 1fr)); }
.gallery-item, .gallery-item * { width: 100% !important; height: auto !important; aspect-ratio: 1; }
@media (max-width: 600px) {
  h1 { font-size: 20px !important; }
  .walk-figure { height: auto !important; }
  button[role=tab] { padding-inline: 10px !important; }
  /* One row that is swiped, so that the answer is not far below. */
  .gallery:has(> .gallery-item) { grid-auto-flow: column; grid-template-columns: none; grid-auto-columns: 72px;
                                  overflow-x: auto; }
}
.dark { --chart-blue: #56b4e9; --chart-orange: #e69f00; --note: #94a3b8; }
.chart svg { max-width: 560px; display: block; margin: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 24px; }
.charts figure { margin: 0; } .charts figcaption { font-weight: 700; margin-bottom: 6px; }
.chart svg text, .charts svg text { font-family: var(--font) !important; }
.page-alert { position: fixed; top: 16px; right: 16px; z-index: 100; max-width: min(420px, 90vw); padding: 12px 16px;
              border: 1px solid var(--error-border-color); border-radius: var(--radius-lg);
              background: var(--error-background-fill); color: var(--error-text-color); }
.note, .note p { font-size: var(--text-sm); color: var(--note, #64748b); }
"""

# How events are sent. Not queued, as each takes milliseconds: the answer comes with the request. What is queued comes
# over the page's one event stream, which the server ends when it has answered all; on a slow line the page takes an
# event that it sends meanwhile for one that this stream will answer, and waits for ever (gradio 6.31). The threads of
# launch() bound how many are at work, mvit.page.crowd how many wait.
AT_ONCE = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
LAST = {**AT_ONCE, "trigger_mode": "always_last"}  # what changes while the page is still at work on it is not forgotten

# Gradio shows no words of what goes wrong with an event that is not queued (6.31).
SHOW_ERRORS = """() => {
    const fetched = window.fetch
    window.fetch = async (...request) => {
        const response = await fetched(...request)
        if (!response.ok && response.url.includes('/gradio_api/run/')) response.clone().json().then(({error}) => {
            if (!error) return
            const alert = document.querySelector('.page-alert') ?? document.createElement('div')
            Object.assign(alert, {className: 'page-alert', role: 'alert', textContent: error})
            document.querySelector('.gradio-container').append(alert)
            clearTimeout(window.alerted)
            window.alerted = setTimeout(() => alert.remove(), 10000)
        }, () => {})
        return response
    }
}"""

# Gradio gives its examples no words for those who cannot see them; their files' names are such words.
NAME_EXAMPLES = """() => {
    const name = () => {
        const images = document.querySelectorAll('.gallery-item img')
        for (const image of images) image.alt = image.src.split('/').pop().split('.')[0]
        if (!images.length) setTimeout(name, 100)
    }
    name()
}"""
# The address follows the tabs once the one that it named is open; until then Gradio opens the first.
FOLLOW = "() => { window.followTabs = true }"
FOLLOW_TAB = """() => {
    const address = new URL(location)
    address.searchParams.set('tab', 'TAB')
    if (window.followTabs) history.replaceState(null, '', address)
}"""
WANT = "(pixels, checkpoint) => checkpoint + pixels"
WANT_IF_OPEN = """(pixels, checkpoint, wanted) =>
    document.querySelector('#unfold')?.offsetParent ? checkpoint + pixels : wanted"""
# Each step of the walk has buttons of its own; who steps on by the keyboard stays on them.
KEEP_FOCUS = """() => setTimeout(() => {
    const same = [...document.querySelectorAll('.walk-NAME')].find(button => button.offsetParent)
    same?.focus()  // a disabled one takes no focus
}, 100)"""
CHART = (4.2, 4.0)  # inches: small, so that its words can be read on a phone
PLACE, PATCH, EVERYWHERE = "this place", "its whole patch", "all places"
MEAN = ROLLOUT = -1  # a radio button's value is a number here: not a head, not a layer
MOST_PIXELS_TEXT = 4 * 256 * 256  # characters of base64
WELCOME = "The network sees your whole picture, shrunk, with grey bars if it is not square. Here is what it gets."

# --------------------------------------------------------------------------- checkpoints


def find_checkpoints(folder: Path = CHECKPOINTS) -> list[Path]:
    """The folders that can be chosen on the page, the one to begin with first."""
    found = [config.parent for config in folder.glob("*/config.json") if not config.parent.name.startswith(".")]
    return sorted(found, key=lambda path: (path.name != "strong", path.name != "reference", path.name))


def load_classifier(checkpoint: str | Path) -> Classifier:
    """The checkpoint's classifier, loaded anew when training has replaced the files.

    Raises:
        CheckpointError: in one sentence, why it cannot be used.
    """
    weights = Path(checkpoint) / "model.safetensors"
    return _load_classifier(str(checkpoint), weights.stat().st_mtime_ns if weights.exists() else 0)


@made_once(maxsize=4)  # nor can torch trace two networks at once
def _load_classifier(checkpoint: str, _modified: int) -> Classifier:
    return Classifier(checkpoint)


begun_with: list[Path] = []  # the weights that the page was built with


def usable(checkpoint: str) -> Classifier:
    """The checkpoint's classifier; one that is not on offer or cannot be used is said so on the page."""
    if checkpoint not in dict(_choices(begun_with)).values():
        raise gr.Error("The page does not offer these weights. Load it again.", print_exception=False)
    try:
        return load_classifier(checkpoint)
    except CheckpointError as error:
        raise gr.Error(str(error), print_exception=False) from error


class Subject(NamedTuple):
    """What the Unfold tab is about: a picture as the network is given it, and the folder of the weights."""

    seen: Image.Image
    checkpoint: str


def pack(seen: Image.Image) -> str:
    """A square RGB picture as text: its pixels in base64.

    The page keeps it and sends it with what it asks about the picture. Nothing has to be remembered for a visitor, and
    nobody's picture is forgotten because others came.
    """
    return base64.b64encode(seen.tobytes()).decode()


def unpack(pixels: str) -> Image.Image:
    """The picture of :func:`pack`, whose size follows from the number of pixels: 1 to 256 × 256 of them."""
    try:
        raw = base64.b64decode(pixels, validate=True) if len(pixels) <= MOST_PIXELS_TEXT else b""
        side = math.isqrt(len(raw) // 3)
        if not side or len(raw) != 3 * side * side:
            raise ValueError("another number of bytes")
        return Image.frombytes("RGB", (side, side), raw)
    except (TypeError, ValueError) as error:
        raise gr.Error("This is no picture that the page has sent. Load it again.", print_exception=False) from error


# --------------------------------------------------------------------------- the Classify tab

read_picture = Reader()


def confidences(file: str | None, checkpoint: str) -> dict[str, float]:
    """The endpoint /classify: one picture in, the confidence of every class out."""
    if not file:
        raise gr.Error("There is no picture: upload one, and give its path.", print_exception=False)
    classifier = usable(checkpoint)
    try:
        return classifier(read_picture(file, classifier.model.config.image_size)).confidences
    except PictureError as error:
        raise gr.Error(str(error), print_exception=False) from error


def show_answer(file: str | None, checkpoint: str) -> tuple:
    """What the Classify tab shows of an uploaded file: confidences, what the network sees, and a remark on both.

    Last the picture for the Unfold tab, packed; it keeps its own when there is no new one.
    """
    if not file:
        return None, None, WELCOME, gr.skip()
    try:
        begin = time.perf_counter()
        classifier = load_classifier(checkpoint)
        answer = classifier(read_picture(file, classifier.model.config.image_size))
        milliseconds = 1000 * (time.perf_counter() - begin)
    except (CheckpointError, PictureError) as error:
        return None, None, f"### {error}", gr.skip()
    return answer.confidences, enlarge(answer.seen), remark(answer, milliseconds), pack(answer.seen)


def remark(answer: Answer, milliseconds: float) -> str:
    """How far to trust an answer, and how long it took, as Markdown."""
    name, confidence = answer.best
    measured = answer.reliability
    trust = measured["accuracy"] if measured else confidence
    lines = []
    if trust < UNSURE_BELOW:
        lines.append(f"### Not sure\n“{name}” is only its best guess. The network knows "
                     f"{len(answer.confidences)} classes and nothing else: whatever it is shown, it must name one.")
    if measured:
        low, high = round(100 * measured["confidence_from"]), round(100 * measured["confidence_to"])
        lines.append(f"When it was {low} to {high} % confident on evaluation pictures, it was right in "
                     f"**{measured['accuracy']:.0%}** of {measured['images']:,} cases.")
    lines.append(f"The network took **{answer.milliseconds:.1f} ms**; with reading and resizing the picture, "
                 f"{milliseconds:.0f} ms. That was one run after a pause: back to back it is faster, see Efficiency.")
    return "\n\n".join(lines)


# --------------------------------------------------------------------------- the Unfold tab


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
        said.append((depth, names[best], confidence, f"{probes.accuracy[depth]:.1%}"))
    evaluation = read_json(Path(subject.checkpoint) / "evaluation.json")
    right = f"{evaluation['accuracy']:.1%}" if evaluation and evaluation["split"] == probes.measured_on else ""
    said.append(("all: its answer", *classifier(subject.seen).best, right))
    cells = [f"<tr><th scope='row'>{depth}</th><td>{html.escape(name)}</td>"
             f"<td><span class='bar' style='width:{60 * confidence:.0f}px'></span> {confidence:.0%}</td>"
             f"<td>{right}</td></tr>" for depth, name, confidence, right in said]
    return ("<table class='figures lens'><thead><tr><th>after</th><th>it would say</th><th>confidence</th>"
            f"<th>right on test pictures</th></tr></thead><tbody>{''.join(cells)}</tbody></table>"
            "<p class='note'>Linear probes on each map's mean, and last the network's own answer; accuracies were "
            f"measured on the {html.escape(probes.measured_on)}.</p>")


def another_block(pixels: str, checkpoint: str, number: int, view: str) -> tuple:
    return choose_block(Subject(unpack(pixels), checkpoint), number, view)


def choose_block(subject: Subject, number: int, view: str) -> tuple:
    """Another block: its controls, beginning at the place whose attention is least even, and all its figures.

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
        f"### {shapes(chosen)}\nThe map of {H} × {W} places is unfolded into {P} sequences of {N}. Places of one "
        "colour are one sequence, and attend to each other only.",
        grid_figure(seen, block), unfolding_figure(seen, block), folding_figure(chosen),
        *show_attention(seen, block, len(block.layers) - 1, MEAN, row + 1, column + 1, view),
    )


def attend(pixels: str, checkpoint: str, number: int, layer: int, head: int, row: int, column: int,
           view: str) -> tuple[Image.Image, Image.Image, str]:
    """What a place attends to: over the picture, head by head, and in words."""
    subject = Subject(unpack(pixels), checkpoint)
    return show_attention(subject.seen, inside(subject, number).attention, layer, head, row, column, view)


def show_attention(seen: Image.Image, block: BlockAttention, layer: int, head: int, row: int, column: int,
                   view: str) -> tuple[Image.Image, Image.Image, str]:
    (H, W), N = block.map_size, block.layers[0].shape[3]
    # The controls follow a new block one after the other; until they all have, what they say may not exist in it.
    layer = "rollout" if layer == ROLLOUT else min(layer, len(block.layers) - 1)
    head = None if head == MEAN or layer == "rollout" else head
    at = tuple(min(max(round(typed or 1), 1), size) - 1 for typed, size in ((row, H), (column, W)))
    figures = (attention_figure(seen, block, layer, head, at if view != EVERYWHERE else None, view == PATCH),
               heads_figure(seen, block, layer, at if view != EVERYWHERE else None, view == PATCH))
    if view == EVERYWHERE:
        return *figures, ("How much attention each place gets, on average over all that could look at it. A chosen "
                          f"place counts again with “{PLACE}”.")
    if view == PATCH:
        return *figures, ("How much attention each patch gets from the framed place's patch: the mean over the "
                          "positions in it, each of which looks at its own colour only.")
    to_row, to_column, share = strongest(block, layer, head, at)
    even = f"without choosing it would take {1 / N:.1%} from each of the {N} places of its colour"
    if layer == "rollout":
        even = "through all layers, and half of every layer is the place itself"
    return *figures, (f"The framed place (row {at[0] + 1}, column {at[1] + 1}) takes most, **{share:.1%}**, from row "
                      f"{to_row + 1}, column {to_column + 1}; {even}. It attends to no dark place: what is "
                      "there reaches it through convolutions.")


async def clicked(event: gr.SelectData, *options) -> tuple:
    """What :func:`place` gives, in the order of the clicks: of quick ones the last is what remains on the page."""
    async with _in_order:
        return await anyio.to_thread.run_sync(place, event, *options)


_in_order = asyncio.Lock()  # which is fair


def place(event: gr.SelectData, pixels: str, checkpoint: str, number: int, layer: int, head: int, view: str) -> tuple:
    """A click in a figure of the block's map: the row and column there, and what that place attends to."""
    subject = Subject(unpack(pixels), checkpoint)
    block = inside(subject, number).attention
    H, W = block.map_size
    x, y = event.index                                                              # pixels of the figure
    row, column = int(y * H / SIZE) + 1, int(x * W / SIZE) + 1
    return row, column, *show_attention(subject.seen, block, layer, head, row, column, view)


# --------------------------------------------------------------------------- the Efficiency tab


def with_accuracy(result: dict | None) -> list[dict]:
    """What stands on the chart: each network's fastest record, of those whose accuracy is known."""
    return [m for m in fastest(result["models"] if result else []) if m["accuracy"] is not None]


@made_once(maxsize=16)
def efficiency_figures(text: str) -> tuple[str, str]:
    """A benchmark's chart and table, as HTML; without a result only what was published.

    Of the result as JSON: drawn once, not for every visitor.
    """
    result = json.loads(text)
    charted = with_accuracy(result)
    words = "; ".join([f"{m['name']}: {m['fps']:.0f} FPS, {m['accuracy']:.1%}" for m in charted] + [
        f"{p['name']} as published: {p['fps']:.0f} FPS, {p['accuracy']:.1%} {p['what']}" for p in PUBLISHED])
    chart = charts.svg(charts.efficiency(charted), *CHART, f"Accuracy by frames per second. {words}")
    if not result:
        return chart, "<p>Nothing was measured yet: <code>python -m mvit.benchmark</code> does.</p>"
    rows = [
        f"<tr><th scope='row'>{html.escape(m['name'])}</th><td>{m['params'] / 1e6:.2f} M</td>"
        f"<td>{m['flops'] / 1e6:,.0f} M</td><td>{m['fps']:.0f}</td>"
        f"<td>{m['latency_p50_ms']:.1f} / {m['latency_p95_ms']:.1f} ms</td>"
        f"<td>{'' if m['accuracy'] is None else format(m['accuracy'], '.1%')}</td>"
        f"<td>{html.escape(m['accuracy_source'] or 'untrained')}</td>"
        f"<td>{m['variant']}, {m['threads']} thread{'s' * (m['threads'] > 1)}</td></tr>"
        for m in fastest(result["models"])
    ]
    ours = result["models"][0]
    columns = ("network", "parameters", "FLOPs", "FPS", "latency p50 / p95", "accuracy", "from",
               "fastest in PyTorch as")
    return chart, (
        f"<div class='wide'><table class='figures'><thead><tr>{''.join(f'<th>{c}</th>' for c in columns)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"<p class='note'>Measured on {html.escape(result['machine'])}, torch {result['torch']}, {result['date']}: one "
        f"picture of 32 × 32 pixels at a time, networks interleaved, median of {ours['passes']} passes "
        f"each. The accuracy of {ours['name']}: {html.escape(ours['accuracy_source'] or 'not known')}.</p>"
    )


def show_efficiency(result: dict | None) -> list:
    """The chart, the table, and both as files to download: PNG, SVG and JSON."""
    text = json.dumps(result)
    files = download_files(text) if result else [None] * 3
    return [*efficiency_figures(text), *(gr.DownloadButton(value=file, interactive=bool(file)) for file in files)]


def show_measured(result: dict | None) -> list | dict:
    """What this visitor has measured; the chart stays as it is where nothing was."""
    return show_efficiency(result) if result else gr.skip()


def shipped_benchmark() -> list:
    return show_efficiency(read_json(CHECKPOINTS / "benchmark.json"))


@made_once(maxsize=16)
def download_files(text: str) -> tuple[str, ...]:
    """The files for a result, given as JSON: made once as well."""
    result, folder = json.loads(text), Path(tempfile.mkdtemp(prefix="mvit-efficiency-"))
    for ending in ("png", "svg"):
        charts.image_file(charts.efficiency(with_accuracy(result)), *CHART, str(folder / f"efficiency.{ending}"))
    write_json(folder / "benchmark.json", result)
    return tuple(str(folder / name) for name in ("efficiency.png", "efficiency.svg", "benchmark.json"))


# The measurement under way, by the visitor's session: one at a time, so that none disturbs another.
measuring: dict[str, subprocess.Popen] = {}
one_at_a_time = threading.Lock()
atexit.register(lambda: [kill(process) for process in measuring.values()])


def measure_here(checkpoint: str, request: gr.Request) -> Iterator[tuple]:
    """Run the benchmark in a process of its own and follow it: (progress, result) until it is done or stopped."""
    if not one_at_a_time.acquire(blocking=False):
        yield "Somebody is measuring just now. Try again in a minute.", gr.skip()
        return
    try:
        with tempfile.TemporaryDirectory(prefix="mvit-measure-") as folder:
            log, output = Path(folder) / "log", Path(folder) / "result.json"
            command = [sys.executable, "-m", "mvit.benchmark", "--checkpoint", checkpoint, "--quick", "--rounds", "8",
                       "--device", "cpu", "--output", str(output)]
            for variant in ("folded, channels_last", "frozen"):  # the fastest that need nothing but torch
                command += ["--variant", variant]
            with open(log, "w") as stream:  # in a session of its own, to be ended with all that it starts
                process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL, stderr=stream,
                                           start_new_session=True)
            measuring[request.session_hash] = process
            while process.poll() is None:
                yield progress_bar(log), gr.skip()
                time.sleep(0.3)
            if process.returncode == 0:
                yield "Done: the chart shows this machine, for you alone.", read_json(output)
            elif process.returncode < 0:  # by a signal: ours
                yield "Stopped.", gr.skip()
            else:
                last = (log.read_text().strip().splitlines() or ["no reason given"])[-1]
                yield f"This could not be measured: {html.escape(last)}", gr.skip()
    finally:
        stop_measuring(request)
        one_at_a_time.release()


def progress_bar(log: Path) -> str:
    """How far the benchmark's last line says it is."""
    steps = re.findall(r"^(.+) (\d+)/(\d+)$", log.read_text(), re.MULTILINE)
    what, done, total = steps[-1] if steps else ("starting", 0, 1)
    return f"<progress value='{done}' max='{total}' aria-label='{what}'></progress> {what}, {done} of {total}"


def stop_measuring(request: gr.Request) -> None:
    """End this visitor's measurement, if there is one; what follows it sees that it has ended."""
    process = measuring.pop(request.session_hash, None)
    if process:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """End a process and those that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --------------------------------------------------------------------------- the Training tab


def training_figures(checkpoint: str) -> str:
    """A checkpoint's curves, accuracy by class and confusion matrix, from its own files, as HTML."""
    return _training_figures(checkpoint, version(Path(checkpoint)))


@made_once(maxsize=16)
def _training_figures(checkpoint: str, _version: tuple) -> str:
    history, evaluation, run = (read_json(Path(checkpoint) / f"{name}.json")
                                for name in ("history", "evaluation", "run"))
    figures, begun = [], ""
    try:
        if history:
            last = history[-1]
            before = len(history) - run["settings"]["epochs"] if run else 0
            if before:
                begun = (f" Epochs 1 to {before} are another run's, with other settings: the commands of both are in "
                         "the weights' card.")
            watched = "validation" if "validation_accuracy" in last else "test"
            for quantity in ("accuracy", "loss"):
                words = (f"{quantity} by epoch, after {last['epoch']} epochs: train {last[f'train_{quantity}']:.3f}, "
                         f"{watched} {last[f'{watched}_{quantity}']:.3f}")
                figures.append((quantity.capitalize(), charts.svg(charts.curves(history, quantity), 4.6, 3.2, words)))
        if evaluation:
            words = ", ".join(f"{n} {a:.1%}" for n, a in evaluation["per_class_accuracy"].items() if a is not None)
            title = f"Right in each class, in all {evaluation['accuracy']:.1%}"
            figures.append((title, charts.svg(charts.class_bars(evaluation), 4.6, 3.6, words)))
            figures.append(("What it mistakes for what, in percent", charts.svg(
                charts.confusion(evaluation), 4.6, 4.6, most_mistaken(evaluation))))
    except (KeyError, TypeError, AttributeError) as error:
        return f"<p>The files of these weights are not as training writes them: {html.escape(str(error))}.</p>"
    if not figures:
        return "<p>These weights came without the history of their training.</p>"
    source = (f"<p class='note'>From history.json and evaluation.json of these weights{_evaluated(evaluation)}. The "
              "training curves are over augmented pictures, and the training loss is against the training targets ("
              f"smoothed labels, for instance).{begun}{_calibrated(evaluation)}</p>")
    return "<div class='charts'>" + "".join(f"<figure><figcaption>{t}</figcaption>{f}</figure>" for t, f in figures
                                            ) + f"</div>{source}"


def most_mistaken(evaluation: dict) -> str:
    """The confusion matrix in words: the three mistakes that are made most."""
    names = evaluation["class_names"]
    mistakes = sorted(((count, names[i], names[j]) for i, row in enumerate(evaluation["confusion_matrix"])
                       for j, count in enumerate(row) if i != j), reverse=True)
    return "Confusion matrix. Most often: " + ", ".join(f"{t} taken for {p} {n} times" for n, t, p in mistakes[:3])


def _evaluated(evaluation: dict | None) -> str:
    return f"; evaluated on: {html.escape(evaluation['split'])}, {evaluation['images']:,} images" if evaluation else ""


def _calibrated(evaluation: dict | None) -> str:
    if not evaluation or evaluation.get("temperature", 1) == 1:
        return ""
    before, after = (evaluation[f"calibration_error{which}"] for which in ("_at_temperature_1", ""))
    return (f" Its confidences are scaled by a temperature of {evaluation['temperature']:g}: expected calibration "
            f"error {after:.1%}, without it {before:.1%}.")


# --------------------------------------------------------------------------- the page


def picture_input(**options) -> gr.Image:
    """A gr.Image whose handlers are given the path of the uploaded file, as it came.

    By itself gr.Image decodes the file before our code runs: it fails on what is no picture, and clips 16-bit grey to
    white. (Overridden on the instance: Gradio writes a .pyi file beside the source of every subclass.)
    """
    image = gr.Image(**options)
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def figure_output(alt_text: str, **options) -> gr.Image:
    """A figure made on the server, sent without loss.

    Gradio writes a picture anew under the same name whenever it is the same; who is just being sent it then gets
    neither the old nor the new (6.31). So the file is made here, once.
    """
    image = gr.Image(**{"show_label": False, **options}, format="png", interactive=False, buttons=[], alt_text=alt_text)
    postprocess = image.postprocess
    image.postprocess = lambda figure: postprocess(figure and figure_file(figure, Path(image.GRADIO_CACHE)))
    return image


def as_png(figure: Image.Image) -> bytes:
    buffer = io.BytesIO()
    figure.save(buffer, "PNG", compress_level=1)  # a click waits for it
    return buffer.getvalue()


def figure_file(figure: Image.Image | bytes, cache: Path) -> str:
    """The figure, or the PNG of one, as a file in the cache, whole at every moment, whoever else makes the same."""
    png = figure if isinstance(figure, bytes) else as_png(figure)
    file = cache / hashlib.sha256(png).hexdigest() / "figure.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as part:
        part.write(png)
    os.replace(part.name, file)  # anew each time: what is old is deleted
    return str(file)


def classify_tab(pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """A picture in, the classes with their confidence out; what the network saw goes on to the other tabs."""
    with gr.Row():
        with gr.Column():
            picture = picture_input(label="Your picture", sources=["upload", "clipboard", "webcam"], height=340,
                                    buttons=[], alt_text="The picture you gave")
            # gr.Examples would put a new gr.Image in the place of ours when one is chosen.
            files = example_files()
            examples = gr.Dataset(components=[picture], samples=[[file] for file in thumbnails()], type="index",
                                  label="Or one of these", samples_per_page=12)
            examples.click(files.__getitem__, examples, picture, **AT_ONCE)
            gr.Markdown("Drawn by this page's own code (`mvit/data/examples.py`), except the tower, a photo that comes "
                        "with Gradio and is none of the ten: see what the network says then.", elem_classes="note")
        with gr.Column():
            label = gr.Label(label="What the network thinks it is")
            with gr.Row():
                with gr.Column(min_width=180, scale=0):
                    gr.Markdown("**What it sees**")
                    shown = figure_output("The 32 × 32 pixels that the network is given, enlarged", height=180,
                                          elem_id="seen")
                with gr.Column(min_width=160):
                    verdict = gr.Markdown(WELCOME)
    gr.on([picture.change, checkpoint.change], show_answer, [picture, checkpoint], [label, shown, verdict, pixels],
          **{**LAST, "show_progress": "minimal"})
    # For programs: the same without the page around it, by the weights that the page begins with. As many at once as
    # there are threads; it is queued, since programs fetch the answer by a request of its own.
    gr.Button(visible=False).click(partial(confidences, checkpoint=checkpoint.value), picture, label,
                                   concurrency_limit=None, api_name="classify", api_description=confidences.__doc__)


def unfold_tab(tab: gr.Tab, pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """The guided walk, the free mode and the lens, over the picture that was classified last."""
    gr.Markdown("What happens inside: the network cuts its map into patches, *unfolds* it, lets places attend to each "
                "other, and folds it back. Here with the picture that was last on the first tab, or an example.")
    with gr.Tabs():
        with gr.Tab("Guided walk"):
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
                                    None, js=KEEP_FOCUS.replace("NAME", name.lower()), api_visibility="private")
                        with gr.Row():
                            with gr.Column(scale=3):
                                parts.append(figure_output(f"Step {i + 1}: {title}", height=400,
                                                           elem_classes="walk-figure"))
                            with gr.Column(scale=2):
                                parts.append(gr.Markdown())
        with gr.Tab("Free mode"):
            with gr.Row():
                number = gr.Radio([1, 2, 3], value=2, label="Block")
                layer = gr.Radio([], label="Layer")
                head = gr.Radio([], label="Head")
                view = gr.Radio([PLACE, PATCH, EVERYWHERE], value=PLACE, label="Who looks")
            with gr.Row():
                with gr.Column():
                    gr.Markdown("**Click a place: what does it look at?**")
                    figure = figure_output("The picture, lit where the chosen place attends to", elem_id="attention")
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
                            gr.Markdown("**The map**, strong lines between patches, a colour for each position")
                            grid = figure_output("The picture under the grid of the block's map", elem_id="grid")
                        with gr.Column(min_width=150):
                            gr.Markdown("**Unfolded**: a sequence for each colour, from top left in reading order")
                            sequences = figure_output("The sequences, each a coarse copy of the picture")
                    gr.Markdown("**Folded back and fused**: how long each place's vector is, from dark to bright, in "
                                "the map that the block was given, in what its transformer added, and in what it "
                                "passes on")
                    folded = figure_output("Three maps: given, added, passed on")
        with gr.Tab("Lens"):
            gr.Markdown("If the network had to answer already after its stem, or after each block: what would it say?")
            table = gr.HTML()
    subject, controls = [pixels, checkpoint], [layer, head, row, column, view]
    block_parts = [layer, head, row, column, caption, grid, sequences, folded, figure, heads, words]
    # What the tab is to show, which follows the subject while the tab is open; its figures are made when it changes.
    wanted = gr.Textbox("", visible=False)
    tab.select(None, subject, wanted, js=WANT, api_visibility="private")
    gr.on([pixels.change, checkpoint.change], None, [*subject, wanted], wanted, js=WANT_IF_OPEN,
          api_visibility="private")
    wanted.change(unfold, [*subject, number, view], [*parts, table, *block_parts], **LAST)
    number.input(another_block, [*subject, number, view], block_parts, **LAST)
    # Not preprocessed: Gradio would refuse a click that, another block on its way, comes with the old one's choices.
    gr.on([control.input for control in controls], attend, [*subject, number, *controls], [figure, heads, words],
          preprocess=False, **LAST)
    # Every click is sent: of clicks that wait, "always_last" sends the first once more (6.31).
    gr.on([figure.select, grid.select], clicked, [*subject, number, layer, head, view],
          [row, column, figure, heads, words], preprocess=False, **{**LAST, "trigger_mode": "multiple"})
    layer.input(lambda layer: gr.Radio(interactive=layer != ROLLOUT), layer, head, preprocess=False, **LAST)


def efficiency_tab(page: gr.Blocks, checkpoint: gr.Dropdown) -> list[gr.Component]:
    """What the network costs against a ResNet-50: as measured by us, as published, and here if one asks for it.

    Returns:
        What is filled when the page is opened, by :func:`shipped_benchmark`.
    """
    gr.Markdown("What accuracy costs. Each bubble is a network: further right is faster, higher is more accurate, and "
                "its area is its number of parameters. Filled: speed measured on one machine. Dashed: published "
                "figures, from another.")
    result = gr.State()
    with gr.Row():
        with gr.Column(scale=3):
            chart = gr.HTML(elem_id="efficiency", elem_classes="chart")
        with gr.Column(scale=1, min_width=200):
            measure = gr.Button("Measure on this machine", variant="primary")
            cancel = gr.Button("Cancel", variant="stop", interactive=False)
            progress = gr.HTML()
            gr.Markdown("Download the chart or its figures:", elem_classes="note")
            with gr.Row():
                saved = [gr.DownloadButton(what, size="sm", min_width=60) for what in ("PNG", "SVG", "JSON")]
    table = gr.HTML()
    shown, buttons = [chart, table, *saved], [measure, cancel]
    # The one event of the page's that is queued: only the queue tells of a generator's progress.
    measure.click(lambda: (gr.Button(interactive=False), gr.Button(interactive=True)), None, buttons, **AT_ONCE).then(
        measure_here, checkpoint, [progress, result], **{**AT_ONCE, "queue": True}, concurrency_limit=None).then(
        show_measured, result, shown, **AT_ONCE).then(
        lambda: (gr.Button(interactive=True), gr.Button(interactive=False)), None, buttons, **AT_ONCE)
    cancel.click(stop_measuring, None, None, **AT_ONCE)
    page.unload(stop_measuring)
    return shown


def opened(checkpoint: str, request: gr.Request) -> tuple:
    """What a page is given when it is opened, in one answer.

    The tab that its address names, if it names one; the weights, also those trained since the start; and what the
    Training and Efficiency tabs show.
    """
    tab = request.query_params.get("tab")
    named = gr.Tabs(selected=tab) if tab in ("classify", "unfold", "efficiency", "training") else gr.skip()
    return named, gr.Dropdown(_choices(begun_with)), training_figures(checkpoint), *shipped_benchmark()


def describe(checkpoint: str) -> tuple[str, str]:
    """The page's heading and the task, as these weights have them, as Markdown."""
    model = usable(checkpoint).model
    size, names = model.config.image_size, model.config.class_names
    return (f"# A vision transformer with {count_parameters(model) / 1e6:.2f} M parameters\n"
            f"MobileViT-XXS, trained on pictures of {size} × {size} pixels. See what it sees.",
            f"Give it a picture; it says which of these it is: {', '.join(names)}.")


def build_page(checkpoints: list[Path]) -> gr.Blocks:
    """The page over these checkpoints, the first one chosen."""
    begun_with[:] = checkpoints
    shipped_benchmark(), training_figures(str(checkpoints[0]))  # drawn once, here: the first visitor does not wait
    classifier, (heading, request) = load_classifier(checkpoints[0]), describe(str(checkpoints[0]))
    with gr.Blocks(title="MobileViT-XXS on CIFAR-10", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        pixels = gr.Textbox(pack(classifier(load_picture(example_files()[0])).seen), visible=False)
        with gr.Row(equal_height=True):
            with gr.Column(scale=3):
                title = gr.Markdown(heading)
            with gr.Column(scale=1, min_width=200):
                checkpoint = gr.Dropdown(_choices(begun_with), label="Weights", interactive=True, filterable=False)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Classify", id="classify") as classify_it:
                task = gr.Markdown(request)
                classify_tab(pixels, checkpoint)
            with gr.Tab("Unfold", id="unfold", elem_id="unfold") as unfold_it:
                unfold_tab(unfold_it, pixels, checkpoint)
            with gr.Tab("Efficiency", id="efficiency") as weigh_it:
                costs = efficiency_tab(page, checkpoint)
            with gr.Tab("Training", id="training") as train_it:
                gr.Markdown("How these weights came to be, and what they get right and wrong.")
                figures = gr.HTML()
        page.load(None, js=SHOW_ERRORS, api_visibility="private")
        page.load(None, js=NAME_EXAMPLES, api_visibility="private")
        # Links to a tab, such as ?tab=unfold, and an address that follows the tabs.
        page.load(opened, checkpoint, [tabs, checkpoint, figures, *costs], **AT_ONCE).then(
            None, js=FOLLOW, api_visibility="private")
        for tab in (classify_it, unfold_it, weigh_it, train_it):
            tab.select(None, js=FOLLOW_TAB.replace("TAB", tab.id), api_visibility="private")
        checkpoint.change(training_figures, checkpoint, figures, **LAST)
        checkpoint.change(describe, checkpoint, [title, task], **LAST)
    # For each visitor and each call Gradio (6.31) asks Python for the signature of each of the page's components, which
    # takes longer than the network. Python looks it up where it is noted.
    for component in {type(block) for block in page.blocks.values()}:
        component.__init__.__signature__ = inspect.signature(component.__init__)
    # What is queued: the endpoint and measurements. More of them than MOST_EVENTS waiting are refused.
    page.queue(max_size=MOST_EVENTS)
    # Gradio (6.31) keeps for each program that ever called a set of its calls under way, and searches them all.
    page._queue.pending_event_ids_session = LRUCache(2000)  # as many as of its messages
    guard(page)
    read_picture.start()
    return page


def _choices(checkpoints: list[Path]) -> list[tuple[str, str]]:
    return [(path.name, str(path)) for path in dict.fromkeys([*checkpoints, *find_checkpoints()])]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Open the page in a browser: http://127.0.0.1:7860 unless "
                                     "GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise.")
    parser.add_argument("--checkpoint", type=Path, metavar="PATH",
                        help="folder of the weights to begin with (default: the best in checkpoints/)")
    options = parser.parse_args(arguments)
    checkpoints = [options.checkpoint.resolve()] if options.checkpoint else find_checkpoints()
    if not checkpoints:
        print(f"There are no weights in {CHECKPOINTS}: train some with python train.py.", file=sys.stderr)
        return 2
    try:
        page = build_page(checkpoints)
    except (CheckpointError, gr.Error) as error:
        print(error, file=sys.stderr)
        return 2
    # Two threads of two cores each would wait for one another; one visitor alone has his answer as soon.
    torch.set_num_threads(1)
    keep_memory_together()
    # max_threads: handlers at work at once. They share one interpreter, so that more would not be faster; some more
    # than there are cores, since some wait for files. state_session_capacity: Gradio keeps a copy of the page's
    # configuration (200 kB) for each visitor and for each call of the endpoint, and of its own accord 10,000 of them.
    # It holds the choices of the page's controls and nothing that cannot be had again.
    page.launch(theme=THEME, css=CSS, max_file_size="50mb", max_threads=8, state_session_capacity=300,
                app_kwargs=app_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())

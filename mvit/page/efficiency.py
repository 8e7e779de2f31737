"""The Efficiency tab: what the network costs against a ResNet-50."""

import html
import json
import tempfile
from pathlib import Path

import gradio as gr

from mvit.benchmark.networks import PUBLISHED
from mvit.benchmark.results import fastest, fps_per_core
from mvit.page import charts
from mvit.page.crowd import made_once
from mvit.page.events import AT_ONCE
from mvit.page.measuring import LIMIT, measure_here, stop_measuring
from mvit.storage.files import CHECKPOINTS, read_json, write_json
from mvit.storage.formats import Benchmark, Measurement

CHART = (4.2, 4.0)  # inches: small, so that its words can be read on a phone


def with_accuracy(result: Benchmark | None) -> list[Measurement]:
    """What stands on the chart: each network's fastest record, of those whose accuracy is known."""
    return [m for m in fastest(result["models"] if result else []) if m["accuracy"] is not None]


@made_once(maxsize=16)
def efficiency_figures(text: str) -> tuple[str, str]:
    """A benchmark's chart and table, as HTML; without a result only what was published.

    Of the result as JSON: drawn once, not for every visitor.
    """
    result = json.loads(text)
    charted = with_accuracy(result)
    left_out = [m for m in fastest(result["models"] if result else []) if m["accuracy"] is None]
    words = "; ".join([f"{m['name']}: {m['fps']:.0f} FPS, {m['accuracy']:.1%}" for m in charted] + [
        f"{p['name']} as published: {p['fps']:.0f} FPS, {p['accuracy']:.1%} {p['what']}" for p in PUBLISHED])
    words = f"Accuracy by images per second (FPS) at batch size 1. {words}"
    chart = charts.svg(charts.efficiency(charted), *CHART, words)
    if not result:
        return chart, "<p>Nothing was measured yet: <code>python -m mvit.benchmark</code> does.</p>"
    rows = [
        f"<tr><th scope='row'>{html.escape(m['name'])}</th><td>{m['params'] / 1e6:.2f} M</td>"
        f"<td>{m['flops'] / 1e6:,.0f} M</td><td>{m['fps']:.0f}</td>"
        f"<td>{format(per_core, '.0f') if (per_core := fps_per_core(result['models'], m['name'])) else ''}</td>"
        f"<td>{m['latency_p50_ms']:.1f} / {m['latency_p95_ms']:.1f} ms</td>"
        f"<td>{'' if m['accuracy'] is None else format(m['accuracy'], '.1%')}</td>"
        f"<td class='text'>{html.escape(m['accuracy_source'] or 'untrained')}</td>"
        f"<td class='text'>{m['variant']}, {m['threads']} thread{'s' * (m['threads'] > 1)}</td></tr>"
        for m in fastest(result["models"])
    ]
    ours = result["models"][0]
    columns = ("network", "parameters", "FLOPs", "FPS", "FPS on one core", "latency p50 / p95", "accuracy", "from",
               "fastest in PyTorch as")
    absent = ", ".join(f"{html.escape(m['name'])} ({m['fps']:.0f} FPS)" for m in left_out)
    return chart, (
        f"<div class='wide' role='region' aria-label='Figures' tabindex='0'><table class='figures'>"
        f"<thead><tr>{''.join(f'<th>{c}</th>' for c in columns)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"<p class='note'>Measured on {html.escape(result['machine'])}, torch {result['torch']}, {result['date']}: one "
        f"picture of 32 × 32 pixels at a time (batch size 1), networks interleaved, median of "
        f"{min(m['passes'] for m in result['models'])} passes each or more. FLOPs count 2 per multiply-accumulate. The "
        f"accuracy of {ours['name']}: {html.escape(ours['accuracy_source'] or 'not known')}.</p>"
        + ("<p class='note'>The line joins our network in other sizes.</p>" if len(charts.sizes(charted)) > 1 else "")
        + (f"<p class='note'>Not on the chart, as nobody has measured their accuracy on these classes: {absent}. The "
           "speed does not depend on what it was trained for.</p>" if absent else "")
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


def efficiency_tab(page: gr.Blocks, checkpoint: gr.Dropdown) -> list[gr.Component]:
    """What the network costs against a ResNet-50: as measured by us, as published, and here if one asks for it.

    Returns:
        What is filled when the page is opened, by :func:`shipped_benchmark`.
    """
    gr.Markdown("What accuracy costs, on CIFAR-10's ten classes and 32 × 32 pixels. Each bubble is a network: further "
                "right is faster (FPS: images per second at batch size 1), higher is more accurate, and its area is "
                "its number of parameters. Filled: speed measured on one machine. Dashed: published figures, from "
                "another. A diamond: accuracy on the images that it was trained on, which is no test accuracy and not "
                "to be compared with one.")
    result = gr.State()
    with gr.Row():
        with gr.Column(scale=3):
            chart = gr.HTML(elem_id="efficiency", elem_classes="chart")
        with gr.Column(scale=1, min_width=200):
            measure = gr.Button("Measure on this machine", variant="primary")
            gr.Markdown("The network of the weights chosen above, beside the others, on 32 × 32 pixels. "
                        f"It begins its last turn after {LIMIT} seconds at the latest, and ends some seconds later.",
                        elem_classes="note")
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

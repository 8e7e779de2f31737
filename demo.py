"""The page: ``python demo.py``. Drop a picture in and see what a 0.44 M-parameter MobileViT makes of it.

Host and port as everywhere in Gradio: the environment variables GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

import argparse
import os
import sys
import time
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before the import, which reads it

import gradio as gr
from PIL import Image

from mvit import CheckpointError
from mvit.examples import example_files
from mvit.inference import Answer, Classifier
from mvit.picture import PictureError, enlarge, load_picture

CHECKPOINTS = Path(__file__).parent / "checkpoints"
PREFERRED = ("strong", "reference")
UNSURE_BELOW = 2 / 3  # share of evaluation pictures it had right when it was about as confident

# The fonts that Gradio itself serves, so that nothing is fetched from elsewhere; of both families its weight 600 is a
# fragment without most letters (gradio 6.31), so 700 stands in.
THEME = gr.themes.Default(
    primary_hue="violet", neutral_hue="slate", radius_size="lg",
    font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
    font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
)
CSS = """
.gradio-container { max-width: 1080px !important; margin: auto; }
.note { font-size: var(--text-sm); color: var(--body-text-color-subdued); }
"""

WELCOME = "The network is given 32 × 32 pixels, cut from the centre of the picture. Here you will see them."

# --------------------------------------------------------------------------- checkpoints


def find_checkpoints(folder: Path = CHECKPOINTS) -> list[Path]:
    """The folders that can be chosen on the page, the one to begin with first."""
    found = [config.parent for config in folder.glob("*/config.json") if not config.parent.name.startswith(".")]
    return sorted(found, key=lambda path: (path.name not in PREFERRED, *(path.name != n for n in PREFERRED), path.name))


def load_classifier(checkpoint: str | Path) -> Classifier:
    """The checkpoint's classifier, loaded anew when training has replaced the files.

    Raises:
        CheckpointError: in one sentence, why it cannot be used.
    """
    weights = Path(checkpoint) / "model.safetensors"
    return _load_classifier(str(checkpoint), weights.stat().st_mtime_ns if weights.exists() else 0)


@lru_cache(maxsize=4)
def _load_classifier(checkpoint: str, _modified: int) -> Classifier:
    return Classifier(checkpoint)


# --------------------------------------------------------------------------- what happens on the page


def confidences(file: str, checkpoint: str) -> dict[str, float]:
    """The endpoint /classify: one picture in, the confidence of every class out."""
    try:
        return load_classifier(checkpoint)(load_picture(file)).confidences
    except (CheckpointError, PictureError) as error:
        raise gr.Error(str(error), print_exception=False) from error


def classify(file: str | None, checkpoint: str) -> tuple[dict[str, float] | None, Image.Image | None, str]:
    """What the Classify tab shows of an uploaded file: confidences, what the network sees, and a remark on both."""
    if not file:
        return None, None, WELCOME
    try:
        begin = time.perf_counter()
        answer = load_classifier(checkpoint)(load_picture(file))
        milliseconds = 1000 * (time.perf_counter() - begin)
    except (CheckpointError, PictureError) as error:
        return None, None, f"### {error}"
    return answer.confidences, enlarge(answer.seen), remark(answer, milliseconds)


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
    lines.append(f"The network took **{answer.milliseconds:.1f} ms**, with reading and resizing the picture "
                 f"{milliseconds:.0f} ms.")
    return "\n\n".join(lines)


# --------------------------------------------------------------------------- the page


def picture_input(**options) -> gr.Image:
    """A gr.Image whose handlers are given the path of the uploaded file, as it came.

    By itself gr.Image decodes the file before our code runs: it fails on what is no picture, and clips 16-bit grey to
    white. (Overridden on the instance: Gradio writes a .pyi file beside the source of every subclass.)
    """
    image = gr.Image(**options)
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def build_page(checkpoints: list[Path]) -> gr.Blocks:
    """The page over these checkpoints, the first one chosen."""
    classes = load_classifier(checkpoints[0]).model.config.class_names
    with gr.Blocks(title="MobileViT-XXS on CIFAR-10", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        with gr.Row(equal_height=True):
            with gr.Column(scale=3):
                gr.Markdown("# A vision transformer with 0.44 M parameters\n"
                            "MobileViT-XXS, trained on the 32 × 32 pictures of CIFAR-10. See what it sees.")
            with gr.Column(scale=1, min_width=200):
                checkpoint = gr.Dropdown(_choices(checkpoints), label="Weights", interactive=True, filterable=False)
        with gr.Tabs():
            with gr.Tab("Classify", id="classify"):
                gr.Markdown(f"Give it a picture; it says which of these it is: {', '.join(classes)}.")
                with gr.Row():
                    with gr.Column():
                        picture = picture_input(label="Your picture", sources=["upload", "clipboard", "webcam"],
                                                height=340, buttons=[], alt_text="The picture you gave")
                        gr.Examples(example_files(), picture, label="Or one of these", cache_examples=False)
                        gr.Markdown("Drawn by this page's own code (`mvit/examples.py`), except the tower, a photo "
                                    "that comes with Gradio and is none of the ten: see what the network says then.",
                                    elem_classes="note")
                    with gr.Column():
                        label = gr.Label(label="What the network thinks it is")
                        with gr.Row():
                            seen = gr.Image(label="What it sees", format="png", interactive=False, height=180,
                                            buttons=[], elem_id="seen", min_width=160, scale=0,
                                            alt_text="The 32 × 32 pixels that the network is given, enlarged")
                            with gr.Column(min_width=160):
                                verdict = gr.Markdown(WELCOME)

        chosen = [picture, checkpoint]
        gr.on([picture.change, checkpoint.change], classify, chosen, [label, seen, verdict],
              api_visibility="private", show_progress="minimal")
        # For programs: the same without the page around it.
        gr.Button(visible=False).click(partial(confidences, checkpoint=checkpoints[0]), picture, label,
                                       api_name="classify", api_description=confidences.__doc__)
        # Weights that were trained since the page was started.
        page.load(lambda: gr.Dropdown(_choices(checkpoints)), None, checkpoint, api_visibility="private")
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
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 2
    page.launch(theme=THEME, css=CSS, max_file_size="50mb")
    return 0


if __name__ == "__main__":
    sys.exit(main())

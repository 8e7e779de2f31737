"""Pictures to try a checkpoint with: of its own classes, where there are such."""

import base64
import html
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from mvit.data.examples import EXAMPLES, example_files
from mvit.data.images import Split
from mvit.data.pictures import PictureError, load_picture, to_network_size
from mvit.page.checkpoints import folder_of, usable
from mvit.page.crowd import made_once
from mvit.page.data import ANOTHER, NotAtHandError, at_hand, evaluated_pictures
from mvit.page.events import LAST
from mvit.page.pictures import pack
from mvit.storage.files import version

MOST = 12
SIDE, SMALL = 512, 96  # in pixels: of the pictures at most, and of those to choose by
CHOOSE = """const send = mvit.withLatest(trigger)
element.addEventListener('click', event => {
    const example = event.target.closest('[data-example]')?.dataset.example
    if (example) send('click', {example})
})"""


class Example(NamedTuple):
    """A picture by the name of its class: its file, and packed in the network's size; small, as an address."""

    name: str
    file: str
    pixels: str
    small: str


class Examples(NamedTuple):
    """What a checkpoint is tried with, one picture at least, and in words where they are from, as Markdown."""

    pictures: list[Example]
    note: str


def examples(checkpoint: str) -> Examples:
    """A picture of each class that the checkpoint was evaluated on, where these are at hand, else what is drawn of
    its classes and a photo of a tower."""
    return _examples(checkpoint, version(folder_of(checkpoint)), tuple(at_hand))


def example_instead(pixels: str, checkpoint: str) -> str | None:
    """The checkpoint's example for what other weights have as one: that of the same name, else its first; packed.

    None where the pixels are an example of its own, or nobody's example, such as a visitor's picture.
    """
    own, name = examples(checkpoint).pictures, _names.get(hash(pixels))
    if name is None or any(each.pixels == pixels for each in own):
        return None
    return next((each.pixels for each in own if each.name == name), own[0].pixels)


_names: dict[int, str] = {}  # of all examples that anybody was given, by the hash of their pixels


@made_once(maxsize=16)
def _examples(checkpoint: str, _version: tuple, _at_hand: tuple) -> Examples:
    config = usable(checkpoint).model.config
    try:
        files, note = _of_each_class(evaluated_pictures(checkpoint))
    except NotAtHandError:
        files, note = _drawn(config.class_names)
    found = Examples([_example(name, file, config.image_size) for name, file in files.items()], note)
    _names.update({hash(each.pixels): each.name for each in found.pictures})
    return found


def _of_each_class(pictures: Split) -> tuple[dict[str, str], str]:
    """(Files by class, what they are): the first picture of a class, of many classes of some far apart."""
    names, folder, files = pictures.class_names, Path(tempfile.mkdtemp(prefix="mvit-examples-")), {}
    count = min(MOST, len(names))
    for i in range(count):
        label = i * len(names) // count
        for index in (pictures.labels == label).nonzero()[:, 0].tolist():
            try:
                picture = load_picture(pictures.files[index])
            except PictureError:
                continue
            picture.thumbnail((SIDE, SIDE))
            picture.save(folder / f"{label}.png", compress_level=1)
            files[names[label]] = str(folder / f"{label}.png")
            break
    if not files:
        raise NotAtHandError(ANOTHER)
    of = "one of each class" if count == len(names) else f"of {count} of {len(names):,} classes"
    return files, f"Pictures that the network was evaluated on and not trained on, {of}."


def _drawn(names: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """The same of what there is without a data set."""
    files = {Path(file).stem: file for file in example_files()}
    files = {name: file for name, file in files.items() if name in names or name not in EXAMPLES}
    note = ("Drawn by this page's own code (`mvit/data/examples.py`), except the tower, a photo that comes with Gradio "
            f"and is none of the {len(names):,} classes: see what the network says then." if len(files) > 1 else
            "A photo that comes with Gradio, to begin with, as none of these classes is drawn here.")
    if not set(names) <= set(EXAMPLES):
        note += f" {ANOTHER}" if at_hand else (" Start the page with `python demo.py --data PATH`, the folder of their "
                                               "pictures, for one of each class.")
    return files, note


def _example(name: str, file: str, size: int) -> Example:
    picture, buffer = load_picture(file), io.BytesIO()
    to_network_size(picture, SMALL).save(buffer, "WEBP", quality=70)
    return Example(name, file, pack(to_network_size(picture, size)),
                   f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}")


# --------------------------------------------------------------------------- on the Classify tab


def gallery(checkpoint: str) -> tuple[str, str]:
    """(The examples as buttons, as HTML; what they are, as Markdown)."""
    shown = examples(checkpoint)
    buttons = "".join(f"<button type='button' data-example='{(name := html.escape(each.name))}' title='{name}'>"
                      f"<img src='{each.small}' alt=''><span>{name}</span></button>" for each in shown.pictures)
    return f"<p>Or one of these</p><div class='gallery'>{buttons}</div>", shown.note


def chosen(event: gr.EventData, checkpoint: str) -> str:
    """The file of the example that was clicked on."""
    file = next((each.file for each in examples(checkpoint).pictures if each.name == event._data.get("example")), None)
    if file is None:
        raise gr.Error("There is no such example. Load the page again.", print_exception=False)
    return file


def examples_under(picture: gr.Image, checkpoint: gr.Dropdown) -> None:
    """Under the picture that a visitor may give, those that there are, which follow the weights."""
    buttons, note = gallery(checkpoint.value)
    shown = gr.HTML(buttons, js_on_load=CHOOSE, apply_default_css=False, elem_id="examples")
    words = gr.Markdown(note, elem_classes="note")
    shown.click(chosen, checkpoint, picture, **LAST)
    checkpoint.change(gallery, checkpoint, [shown, words], **LAST)

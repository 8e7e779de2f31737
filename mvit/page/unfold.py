"""The Unfold tab: the network drawn live, over an example, a picture of one's own, or the one that was classified."""

import json
from typing import Any

import gradio as gr

from mvit.data.pictures import to_network_size
from mvit.explain.probes import Probes
from mvit.page.checkpoints import folder_of, offered, usable
from mvit.page.classify import answer_to
from mvit.page.crowd import made_once
from mvit.page.drawing import describe_picture, experimented, network_drawing
from mvit.page.events import LAST
from mvit.page.examples import examples
from mvit.page.pictures import pack, unpack
from mvit.page.uploads import UNFIT
from mvit.storage.files import version
from mvit.storage.records import read_costs

LARGEST_DRAWN = 128  # pixels a side: beyond, there are too many tokens for a browser to draw
YOURS = "yours"  # in the address, in the place of an example's name


def described(pixels: str, checkpoint: str) -> str:
    """All that the drawing shows of a picture and the weights, as JSON."""
    return _described(pixels, checkpoint, version(folder_of(checkpoint)))


@made_once(maxsize=32)  # of 400 kB; above all the picture that everybody begins with
def _described(pixels: str, checkpoint: str, _version: tuple) -> str:
    classifier = usable(checkpoint)
    size = classifier.model.config.image_size
    if size > LARGEST_DRAWN:
        return json.dumps({"words": f"This network sees {size} × {size} pixels; the drawing is for at most "
                                    f"{LARGEST_DRAWN}."})
    shown = examples(checkpoint).pictures
    example = next((each.name for each in shown if each.pixels == pixels), YOURS)
    folder = folder_of(checkpoint)
    description = describe_picture(classifier, to_network_size(unpack(pixels), size), Probes.load(folder),
                                   read_costs(folder), {"pixels": pixels, "checkpoint": checkpoint})
    return json.dumps({**description, "example": example, "link": link(example, checkpoint),
                       "examples": [{"name": each.name, "url": each.small} for each in shown]}, allow_nan=False)


def experiment(request: Any) -> dict:
    """What the network answers after an experiment with it, or in words why it cannot be made."""
    try:
        subject = request["subject"]
        classifier, picture = usable(subject["checkpoint"]), unpack(subject["pixels"])
        return experimented(classifier, to_network_size(picture, classifier.model.config.image_size),
                            request["change"], request["classes"])
    except gr.Error as error:
        return {"error": error.message}
    except (KeyError, TypeError):
        return {"error": UNFIT}


# --------------------------------------------------------------------------- what is chosen


def weights_named(name: str | None) -> str | None:
    """The weights of that name in an address, if they are on offer; no name stands for those that the page begins with.
    """
    return next(iter(offered())) if name is None else name if name in offered() else None


def example_named(name: str | None, checkpoint: str) -> str | None:
    """The weights' example of that name, packed in the size of their network; no name stands for the first."""
    return next((each.pixels for each in examples(checkpoint).pictures if name in (None, each.name)), None)


def link(example: str, checkpoint: str) -> dict[str, str | None]:
    """The names for an address of what is shown, None for what the page begins with."""
    return {"example": None if example == examples(checkpoint).pictures[0].name else example,
            "weights": None if checkpoint == next(iter(offered())) else checkpoint}


def choose(event: gr.EventData, checkpoint: str) -> tuple[Any, Any]:
    """What somebody chose in the drawing, or went back to in the browser; what there is not changes nothing.

    An example is chosen for the weights of that moment, which may not be drawn yet.
    """
    chosen = event._data
    weights = weights_named(chosen["weights"]) if "weights" in chosen else checkpoint
    pixels = example_named(chosen["example"], weights) if weights and "example" in chosen else None
    return pixels or gr.skip(), weights if weights and "weights" in chosen else gr.skip()


def own_picture(file: str, checkpoint: str) -> str:
    """A visitor's picture, packed; a gr.Error with words for the page if it cannot be read."""
    return pack(answer_to(file, checkpoint).seen)


def unfold_tab(tab: gr.Tab, pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """The drawing, which follows the picture and the weights while its tab is open."""
    drawing = network_drawing(None, experiment, own="#own-picture")
    own = gr.UploadButton("A picture of your own", file_types=["image"], size="sm", elem_id="own-picture")
    own.upload(own_picture, [own, checkpoint], pixels, **LAST)
    drawing.choose(choose, checkpoint, [pixels, checkpoint], **LAST)
    # What the drawing is to show, which follows the subject while the tab is open; described when it changes.
    subject, wanted = [pixels, checkpoint], gr.Textbox("", visible=False)
    tab.select(None, subject, wanted, js="(...subject) => mvit.subject(...subject)", api_visibility="private")
    gr.on([pixels.change, checkpoint.change], None, [*subject, wanted], wanted, api_visibility="private",
          js="(...subject) => mvit.subjectIfOpen(...subject)")
    wanted.change(described, subject, drawing, **LAST)

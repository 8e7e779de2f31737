"""The pictures that a checkpoint was evaluated on, where the folder that they lie in is at hand."""

import html
from pathlib import Path
from typing import Any

from mvit.data.images import DataError, Split, hold_out, list_split
from mvit.evaluation.accuracy import with_classes_of
from mvit.evaluation.images import check_draw
from mvit.page.checkpoints import folder_of, usable
from mvit.page.crowd import made_once
from mvit.storage.files import version
from mvit.storage.records import Records

at_hand: list[Path] = []  # the data set that the page was started with, if it was with one
NONE = ("The pictures behind this are not at hand: start the page with <code>python demo.py --data PATH</code>, "
        "the folder that these weights were evaluated on.")
ANOTHER = "The folder that the page was started with is not the one that these weights were evaluated on."


class NotAtHandError(Exception):
    """The pictures cannot be had; the message is one sentence for the page, as HTML."""


def evaluated_pictures(checkpoint: str) -> Split:
    """Those that ``evaluation.json`` is of, without pixels; labels in the order of the network's classes.

    Raises:
        NotAtHandError: there are none at hand, or others.
    """
    if not at_hand:
        raise NotAtHandError(NONE)
    return _evaluated_pictures(checkpoint, version(folder_of(checkpoint)), at_hand[0])


@made_once(maxsize=8)
def _evaluated_pictures(checkpoint: str, _version: tuple, folder: Path) -> Split:
    model, records = usable(checkpoint).model, Records.read(folder_of(checkpoint))
    held_out = next(reversed(records.evaluations), "") == "validation"
    try:
        evaluation: Any = records.evaluation or {}  # people put files there
        expected = [sum(row) for row in evaluation["confusion_matrix"]]
        pictures = list_split(folder, "train" if held_out else "test", **records.reading)
        if held_out:
            rest, pictures = hold_out(pictures, sum(expected))
            if records.run and records.run.get("images", len(rest)) != len(rest):
                raise DataError("others were held out of so many pictures")
        else:
            check_draw(records, pictures)
        pictures = with_classes_of(model, pictures)
        named = dict(zip(evaluation["class_names"], expected, strict=True))
    except (DataError, LookupError, TypeError, ValueError) as error:
        raise NotAtHandError(ANOTHER) from error
    found = pictures.labels.bincount(minlength=len(model.config.class_names)).tolist()
    for name, count in zip(model.config.class_names, found, strict=True):
        if count != named.get(name):
            kind = "pictures to hold out" if held_out else "test pictures"
            raise NotAtHandError(f"The folder that the page was started with has {count:,} {kind} of "
                                 f"{html.escape(name)} and not {named.get(name, 0):,}: these weights were evaluated on "
                                 "another.")
    return pictures

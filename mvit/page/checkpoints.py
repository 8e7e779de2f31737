"""The weights that can be chosen on the page."""

from pathlib import Path
from typing import Any

import gradio as gr

from mvit.documents.rendering import markdown
from mvit.inference.classifier import Classifier
from mvit.model import CheckpointError, MobileViTConfig
from mvit.page.crowd import made_once
from mvit.page.pictures import LARGEST
from mvit.storage.files import read_json
from mvit.storage.formats import About
from mvit.storage.records import Records, find_checkpoints

MOST_LOADED = 8  # networks that are kept, some 20 MB each
begun_with: list[Path] = []  # the weights that the page was built with


def offered() -> dict[str, Path]:
    """The folder of each checkpoint on offer by its name, also of those trained since the page was started.

    The page knows checkpoints by these names alone: where a folder lies is nobody's business.
    """
    found: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in [*begun_with, *find_checkpoints()]):
        name = path.name if path.name not in found else f"{path.name}, in {path.parent.name}"
        found.setdefault(name, path)
    return found


def folder_of(checkpoint: str) -> Path:
    """The folder of the checkpoint of this name; a gr.Error with words for the page if there is none on offer."""
    folder = offered().get(checkpoint) if isinstance(checkpoint, str) else None
    if folder is None:
        raise gr.Error("The page does not offer these weights. Load it again.", print_exception=False)
    return folder


def about(checkpoint: str) -> str:
    """How weights came about and how good they are, in one sentence of Markdown, from their own records."""
    records = Records.read(folder_of(checkpoint))
    runs = _runs(records.run, len(records.history)) if records.history else []
    how = f"trained for {', then '.join(runs)}" if runs else "there is no record of their training"
    good = (f"; right on {records.evaluation['accuracy']:.1%} of {records.evaluation['images']:,} images "
            f"({markdown(records.evaluation['split'])})" if records.evaluation else "")
    return f"The weights *{markdown(checkpoint)}*: {how}{good}."


def _runs(run: About | None, epochs: int) -> list[str]:
    """Each run that led to weights, from the first on: its epochs, of so many in all, and by which means."""
    if not run:
        return [_count(epochs)]
    settings, own = run["settings"], run["settings"]["epochs"]
    means = {"AdamW": settings.get("optimizer") == "adamw", "Muon": settings.get("optimizer") == "muon",
             "RandAugment": settings.get("randaugment"), "Cutout": settings.get("cutout"),
             "label smoothing": settings.get("label_smoothing"), "a teacher's answers": settings.get("teacher")}
    used = [mean for mean, used in means.items() if used]
    this = _count(own) + (f" with {', '.join(used)}" if used else "")
    if epochs > own:  # of a run that this one continued
        before = (run.get("earlier") or {}).get(settings.get("weights", ""))
        return [*_runs(before, epochs - own), this]
    if weights := settings.get("weights"):
        this += f", begun with the weights *{markdown(Path(weights).name)}*"
    return [this]


def _count(epochs: int) -> str:
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def load_classifier(checkpoint: str | Path) -> Classifier:
    """The checkpoint's classifier, loaded anew when training has replaced the files.

    Raises:
        CheckpointError: in one sentence, why it cannot be used.
    """
    weights = Path(checkpoint) / "model.safetensors"
    return _load_classifier(str(checkpoint), weights.stat().st_mtime_ns if weights.exists() else 0)


@made_once(maxsize=MOST_LOADED)  # nor can torch trace two networks at once
def _load_classifier(checkpoint: str, _modified: int) -> Classifier:
    size = _said(Path(checkpoint), "image_size")
    if isinstance(size, int) and size > LARGEST:
        raise CheckpointError(f"The page is for pictures of up to {LARGEST} pixels a side; {checkpoint} is for {size}.")
    return Classifier(checkpoint)


def _said(folder: Path, field: str) -> Any:
    """What a checkpoint's config.json says, before the checkpoint is loaded and checked: of any type, or None."""
    config = read_json(folder / "config.json")
    return config.get(field) if isinstance(config, dict) else None


def alike(config: MobileViTConfig) -> list[str]:
    """The weights on offer that say that they are for these classes and pictures of this size, by name."""
    its = [list(config.class_names), config.image_size]
    return [name for name, folder in offered().items()
            if [_said(folder, field) for field in ("class_names", "image_size")] == its]


def usable(checkpoint: str) -> Classifier:
    """The classifier of the checkpoint of this name; one that is not on offer or cannot be used is said so on the page.
    """
    folder = folder_of(checkpoint)
    try:
        return load_classifier(folder)
    except CheckpointError as error:
        raise gr.Error(str(error).replace(str(folder), checkpoint), print_exception=False) from error

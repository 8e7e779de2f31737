"""What a run takes from earlier ones: a teacher, weights to begin with, and the record of how they came about."""

import zlib
from dataclasses import fields
from pathlib import Path

import torch

from mvit.data.images import Split
from mvit.inference.variants import fold_batchnorm, to_channels_last
from mvit.model import CheckpointError, MobileViT, MobileViTConfig
from mvit.storage.checkpoint import Records
from mvit.storage.formats import About, Epoch
from mvit.training.settings import Settings, TrainingError


def earlier_runs(settings: Settings) -> dict[str, About | None]:
    """What is known of the runs that this one builds on, by folder: ``run.json``, None where there is none."""
    return {path: Records.read(Path(path)).run for path in (settings.teacher, settings.weights) if path}


def checksums(checkpoint: Path) -> list[int]:
    """To tell whether the network in a folder is still the same."""
    return [zlib.crc32((checkpoint / name).read_bytes()) for name in ("config.json", "model.safetensors")]


def load_earlier(role: str, folder: Path, network: MobileViT, alike: tuple[str, ...],
                 watched: Split | None) -> MobileViT:
    """A network of an earlier run that this one builds on.

    Args:
        role: what it is to this one, in a word.
        folder: its checkpoint.
        network: this run's.
        alike: fields of their configurations that must be equal.
        watched: the images that it must have been judged by; None: no matter.

    Raises:
        TrainingError: it is no checkpoint, is not alike, or was judged by other images.
    """
    if not folder.is_dir():  # from_pretrained would look for it on the Hub
        raise TrainingError(f"There is no folder {folder} with a {role} in it.")
    try:
        earlier = MobileViT.from_pretrained(folder)
    except CheckpointError as error:
        raise TrainingError(f"The {role}: {error}") from error
    if watched:
        records = Records.read(folder)
        its_watched = records.evaluations.get(records.watched)
        if its_watched is None or its_watched["split"] != watched.name:  # says how many of what
            raise TrainingError(f"The {role} in {folder} did not watch the {watched.name}, as this run does.")
    for name in alike:
        ours, its = getattr(network.config, name), getattr(earlier.config, name)
        if its != ours:
            raise TrainingError(f"The {role}'s {name} is {its}, not {ours}.")
    return earlier


def load_teacher(network: MobileViT, settings: Settings, watched: Split) -> MobileViT:
    """The network that the settings name as the teacher, ready to answer.

    It gets the student's images, normalized by the student's mean and deviation; its own are near them, for the same
    classes of images.

    Raises:
        TrainingError: it will not do (:func:`load_earlier`).
    """
    teacher = load_earlier("teacher", Path(settings.teacher), network, ("class_names", "image_size"),
                           watched if settings.validation else None)
    example = torch.zeros(1, 3, teacher.config.image_size, teacher.config.image_size)
    folded = fold_batchnorm(teacher, example)
    assert isinstance(folded, MobileViT)  # a copy of the teacher
    return to_channels_last(folded.requires_grad_(False))


def begin_with(network: MobileViT, settings: Settings, watched: Split) -> list[Epoch]:
    """Give the network the weights that the settings name.

    Returns:
        how they came about: a record an epoch.

    Raises:
        TrainingError: they will not do (:func:`load_earlier`), or came without their history.
    """
    alike = tuple(field.name for field in fields(MobileViTConfig) if field.name not in ("temperature", "dropout"))
    earlier = load_earlier("checkpoint", Path(settings.weights), network, alike, watched)
    network.load_state_dict(earlier.state_dict())
    history = Records.read(Path(settings.weights)).history
    if not history:
        raise TrainingError(f"The checkpoint in {settings.weights} has no history.json of its training.")
    return history

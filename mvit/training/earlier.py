"""What a run takes from earlier ones: a teacher, weights to begin with, and the record of how they came about."""

import zlib
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

from mvit.data.images import Split, mean_and_std
from mvit.evaluation.images import check_draw
from mvit.inference.variants import fold_batchnorm, to_channels_last
from mvit.model import CheckpointError, MobileViT, MobileViTConfig
from mvit.networks.compared import Network
from mvit.storage.formats import About, Epoch
from mvit.storage.records import Records
from mvit.training.settings import Settings, TrainingError

# Fields of a configuration in which a network may differ from the one whose weights it begins with.
OF_IMAGES = ("class_names", "image_size", "mean", "std", "temperature", "dropout")


def earlier_runs(settings: Settings) -> dict[str, About | None]:
    """What is known of the runs that this one builds on, by folder: ``run.json``, None where there is none."""
    return {path: Records.read(Path(path)).run for path in (settings.teacher, settings.weights) if path}


def checksums(checkpoint: Path) -> list[int]:
    """To tell whether the network in a folder is still the same."""
    return [zlib.crc32((checkpoint / name).read_bytes()) for name in ("config.json", "model.safetensors")]


def load_earlier(role: str, folder: Path) -> MobileViT:
    """A network of an earlier run that this one builds on.

    Args:
        role: what it is to this one, in a word.
        folder: its checkpoint.

    Raises:
        TrainingError: it is no checkpoint.
    """
    if not folder.is_dir():  # from_pretrained would look for it on the Hub
        raise TrainingError(f"There is no folder {folder} with a {role} in it.")
    try:
        return MobileViT.from_pretrained(folder)
    except CheckpointError as error:
        raise TrainingError(f"The {role}: {error}") from error


def check_alike(role: str, earlier: MobileViT, network: Network, names: Iterable[str]) -> None:
    """Raise a TrainingError where these fields of their configurations are not equal."""
    for name in names:
        ours, its = getattr(network.config, name), getattr(earlier.config, name)
        if its != ours:
            raise TrainingError(f"The {role}'s {name} is {its}, not {ours}.")


def check_images(role: str, folder: Path, records: Records, train: Split, watched: Split) -> None:
    """Raise a TrainingError where an earlier run, of these records, was judged by other images than this one is to be,
    or is known to have been trained on others."""
    its = records.evaluations.get(records.watched)
    if its is None or its["split"] != watched.name:  # says how many of what
        raise TrainingError(f"The {role} in {folder} did not watch the {watched.name}, as this run does.")
    if records.fingerprint not in (None, train.fingerprint()):
        raise TrainingError(f"The {role} in {folder} was trained on other images than these, perhaps on some that are "
                            "held out now: leave --validation out, or train it again.")


def load_teacher(network: Network, settings: Settings, train: Split, watched: Split) -> MobileViT:
    """The network that the settings name as the teacher, ready to answer.

    It gets the student's images, normalized by the student's mean and deviation; its own are near them, for the same
    classes of images.

    Raises:
        TrainingError, DataError: it is no checkpoint, knows other classes or sizes, was judged by other images, or may
            have been trained on what is held out now.
    """
    folder = Path(settings.teacher)
    teacher, records = load_earlier("teacher", folder), Records.read(folder)
    check_draw(records, watched, settings.test_share)
    check_alike("teacher", teacher, network, ("class_names", "image_size"))
    if settings.validation:
        check_images("teacher", folder, records, train, watched)
    example = torch.zeros(1, 3, teacher.config.image_size, teacher.config.image_size)
    folded = fold_batchnorm(teacher, example)
    assert isinstance(folded, MobileViT)  # a copy of the teacher
    return to_channels_last(folded.requires_grad_(False))


def with_architecture(settings: Settings) -> Settings:
    """The settings with what the checkpoint whose weights they name is built from, written out under ``model``.

    With the mean and deviation that these weights were trained with. What was typed there stays.

    Raises:
        TrainingError: it is no checkpoint.
    """
    config, default = load_earlier("checkpoint", Path(settings.weights)).config, MobileViTConfig()
    its = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in ("class_names", "temperature")}
    changes = {name: value for name, value in its.items() if value != getattr(default, name)}
    if "stages" in changes:
        changes["stages"] = [asdict(stage) for stage in config.stages]
    return replace(settings, model={**changes, **(settings.model or {})})


def begin_with(network: Network, settings: Settings, train: Split, watched: Split) -> list[Epoch]:
    """Give the network the weights that the settings name.

    Their run is continued where the classes and the training images are the same. Else it is fine-tuned: for other
    classes the last layer stays as it is, untrained.

    Returns:
        how the weights came about if their run is continued, a record an epoch; else nothing.

    Raises:
        TrainingError, DataError: they are of another architecture, came without the records that are needed to
            continue, or may have been trained on what is watched.
    """
    folder = Path(settings.weights)
    earlier, records = load_earlier("checkpoint", folder), Records.read(folder)
    check_draw(records, watched, settings.test_share)
    check_alike("checkpoint", earlier, network, (f.name for f in fields(MobileViTConfig) if f.name not in OF_IMAGES))
    weights = earlier.state_dict()
    if earlier.config.class_names != network.config.class_names:
        last = f"head.{len(earlier.head) - 1}."
        weights |= {name: weight for name, weight in network.state_dict().items() if name.startswith(last)}
    network.load_state_dict(weights)
    same_classes = earlier.config.class_names == network.config.class_names
    same_images = (mean_and_std(train) == (earlier.config.mean, earlier.config.std) if records.fingerprint is None else
                   records.fingerprint == train.fingerprint())
    # Of the same classes with images held out, the earlier run may have been trained on these: it is to be shown.
    if not same_classes or not (same_images or settings.validation):
        return []
    check_images("checkpoint", folder, records, train, watched)
    if not records.history:
        raise TrainingError(f"The checkpoint in {settings.weights} has no history.json of its training.")
    return records.history

"""Which images a run trains on, watches and tests on."""

from dataclasses import dataclass

import torch.distributed as dist

from mvit.data.images import Split, hold_out, load_train_and_test
from mvit.training.network import network_config
from mvit.training.processes import Processes
from mvit.training.settings import Settings, TrainingError


@dataclass(frozen=True)
class Splits:
    """The images of a run.

    Attributes:
        train: those it is trained on.
        watched: those that each epoch is measured on: the test split, or what is held out for validation.
        test: those that are read once, at the end; None if that is no other split, or they are left alone.
    """

    train: Split
    watched: Split
    test: Split | None = None


def load_splits(data: str | None, settings: Settings, processes: Processes) -> Splits:
    """The images in a folder, or CIFAR-10 if that is None, as :func:`mvit.data.images.load_split` has them.

    Raises:
        DataError, TrainingError: they cannot be had, or not so many be held out.
    """
    image_size = network_config(settings).image_size
    if not processes.first:
        dist.barrier()  # the first process downloads, the others find it done
    train, test = load_train_and_test(data, image_size)
    if processes.first and processes.world_size > 1:
        dist.barrier()
    if not settings.validation:
        return Splits(train, test)
    try:
        train, watched = hold_out(train, settings.validation)
    except ValueError as error:
        raise TrainingError(f"--validation: {error}.") from error
    return Splits(train, watched, test if settings.final_test else None)

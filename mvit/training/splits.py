"""Which images a run trains on, watches and tests on."""

from dataclasses import dataclass, replace

import torch.distributed as dist

from mvit.data.images import Split, hold_out, load_train_and_test
from mvit.training.network import network_config
from mvit.training.processes import Processes
from mvit.training.settings import RECIPES, Settings, TrainingError


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

    The number that a recipe holds out is for CIFAR-10; of fewer images it is a fifth at the most.

    Raises:
        DataError, TrainingError: they cannot be had, or not so many be held out.
    """
    image_size = network_config(settings).image_size
    if not processes.first:
        dist.barrier()  # the first process downloads, the others find it done
    train, test = load_train_and_test(data, image_size, test_share=settings.test_share,
                                      skip_damaged=settings.skip_damaged)
    if processes.first and processes.world_size > 1:
        dist.barrier()
    if not settings.validation:
        return Splits(train, test)
    count, notes = settings.validation, train.notes
    recipe, at_most = RECIPES.get(settings.recipe), max(2, len(train) // 5)
    if recipe and count == recipe.validation and count > at_most:
        notes += (f"The recipe {settings.recipe} holds {count:,} images out, too many of {len(train):,}: here it holds "
                  f"out a fifth, {at_most:,} (--validation).",)
        count = at_most
    try:
        train, watched = hold_out(train, count)
    except ValueError as error:
        raise TrainingError(f"--validation: {error}.") from error
    return Splits(replace(train, notes=notes), watched, test if settings.final_test else None)

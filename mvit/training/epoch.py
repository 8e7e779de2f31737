"""One epoch: the order of the images, how each is changed at random, and a step a batch.

Every random draw (order, crops, flips, dropout) follows from the seed and the epoch's number alone. So a run needs no
more state between epochs than weights and optimizers, and one that was killed repeats the epoch it was in and ends
with the weights of a run that was not, bit for bit on a CPU.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from mvit.data.augmentation import PADDING, crop_and_flip, rand_augment
from mvit.data.images import Split
from mvit.training.processes import Processes
from mvit.training.report import progress, progress_bar
from mvit.training.schedule import learning_rate
from mvit.training.settings import Settings
from mvit.training.step import Step


def batches(count: int, batch_size: int, smallest: int, generator: torch.Generator) -> list[Tensor]:
    """Indices of all images, each once, in random order, a tensor a step.

    A last batch with fewer than ``smallest`` images (the number of processes, none of which may go without) joins
    the one before it.
    """
    steps = list(torch.randperm(count, generator=generator).split(batch_size))
    if len(steps) > 1 and len(steps[-1]) < smallest:
        steps[-2:] = [torch.cat(steps[-2:])]
    return steps


def train_epoch(step: Step, averaged: AveragedModel | None, train: Split, settings: Settings, epoch: int,
                processes: Processes) -> tuple[float, float]:
    """One pass over the training images.

    Args:
        step: takes the network one batch further.
        averaged: the moving average of its weights, brought up to date after each step; None for none.
        epoch: counted from 0.

    Returns:
        (loss, accuracy): means over the epoch as it ran, on augmented images and with the weights of the moment.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)  # on the CPU: alike on every device
    steps = batches(len(train), settings.batch_size, processes.world_size, generator)
    loss_sum = torch.zeros((), device=train.images.device)
    correct = torch.zeros((), dtype=torch.int64, device=train.images.device)
    seen = 0
    step.training_mode()
    with progress_bar(len(train), epoch, settings.epochs, processes.first) as bar:
        for number, (batch, part) in enumerate(zip(steps, augmented(train, steps, settings.randaugment, generator,
                                                                    processes), strict=True)):
            rate = learning_rate(settings, epoch + number / len(steps))
            loss, right = step(*part, len(batch), rate)
            if averaged:
                averaged.update_parameters(step.network)
            loss_sum += loss
            correct += right
            seen += len(part[0])
            bar.update(len(batch))
            if number % 20 == 0 and not bar.disable:  # .item() waits for the device
                bar.set_postfix_str(progress(loss_sum.item() / seen, correct.item() / seen))
    processes.sum(loss_sum, correct)
    return loss_sum.item() / len(train), correct.item() / len(train)


def augmented(train: Split, steps: list[Tensor], randaugment: int, generator: torch.Generator, processes: Processes,
              bytes_at_once: int = 2**25) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """This process's part of each batch: images, cropped, flipped and changed at random; labels; centres to blank.

    Args:
        steps: the indices of each batch.
        randaugment: as in the settings.
        generator: what all draws follow from; they are the same however many processes there are, but RandAugment's.
        bytes_at_once: size of the images that are made together, of some batches: faster than one by one.
    """
    device, count = train.images.device, len(train)
    offsets = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator).to(device)
    flips = (torch.rand(count, generator=generator) < 0.5).to(device)
    centres = torch.randint(0, train.images.shape[-1], (count, 2), generator=generator).to(device)
    torch.manual_seed(int(torch.randint(2**40, (), generator=generator)) + processes.rank)  # dropout, RandAugment
    at_once = max(1, bytes_at_once // (len(steps[0]) * train.images[0].numel()))  # batches
    for begin in range(0, len(steps), at_once):
        mine = [batch[processes.rank :: processes.world_size] for batch in steps[begin : begin + at_once]]
        index = torch.cat(mine).to(device)
        images = crop_and_flip(train.images[index], offsets[index], flips[index])
        if randaugment:
            images = rand_augment(images, randaugment)
        sizes = list(map(len, mine))
        yield from zip(images.split(sizes), train.labels[index].split(sizes), centres[index].split(sizes), strict=True)

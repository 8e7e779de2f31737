"""An epoch: each image once, whatever the number of processes and of images that are made at once."""


import pytest
import torch

from mvit.data.images import Split
from mvit.training.epoch import augmented, batches
from mvit.training.processes import Processes


def test_each_image_once_an_epoch_whatever_the_number_of_processes():
    for count, size, world_size in ((90, 16, 2), (33, 16, 2), (35, 16, 4), (3, 16, 2)):
        steps = batches(count, size, world_size, torch.Generator().manual_seed(0))
        assert torch.cat(steps).sort().values.tolist() == list(range(count))
        assert all(len(step[rank::world_size]) for step in steps for rank in range(world_size))


@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_are_made_of_their_images_whatever_is_made_at_once(world_size):
    split = Split("made", ("a", "b"), torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8),
                  torch.randint(0, 2, (50,)), torch.ones(50, dtype=torch.bool))
    made = []
    for at_once in (1, 2 * 8 * 3 * 32 * 32, 2**25):
        generator = torch.Generator().manual_seed(0)
        steps = batches(50, 8, world_size, generator)
        made.append(list(augmented(split, steps, 0, generator, Processes(world_size - 1, world_size), at_once)))
        for batch, (images, labels, _) in zip(steps, made[-1], strict=True):
            mine = batch[world_size - 1 :: world_size]
            assert torch.equal(labels, split.labels[mine])
            assert images.shape == (len(mine), 3, 32, 32)
    for one, other, third in zip(*made, strict=True):
        assert all(map(torch.equal, one, other))
        assert all(map(torch.equal, one, third))
    assert not torch.equal(made[0][0][0], split.images[steps[0]][world_size - 1 :: world_size])

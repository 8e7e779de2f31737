"""One epoch of training without BatchNorm, alone or under torchrun: a part of test_processes.py, no test by itself."""

import sys
from pathlib import Path

import torch
from torch import nn

from mvit import MobileViT, MobileViTConfig
from mvit.data.images import Split
from mvit.training.epoch import train_epoch
from mvit.training.processes import Processes
from mvit.training.settings import Settings
from mvit.training.step import Step
from tests.conftest import CLASSES, TINY


def main(folder: Path, processes: Processes) -> None:
    torch.manual_seed(0)
    network = MobileViT(MobileViTConfig(**TINY, class_names=CLASSES))
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, nn.Identity())
    images = torch.randint(0, 256, (35, 3, 32, 32), dtype=torch.uint8)
    split = Split("made", CLASSES, images, torch.randint(0, 3, (35,)), torch.ones(35, dtype=torch.bool))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    # Plain gradient descent: Adam would make large steps of rounding where a gradient is nought.
    optimizer = torch.optim.SGD([{"params": list(network.parameters()), "body": True}], 0.1)
    settings = Settings(batch_size=16, learning_rate=0.1)
    step = Step(processes.share(network), network, [optimizer], world_size=processes.world_size)
    loss, accuracy = train_epoch(step, None, split, settings, 0, processes)
    if processes.first:
        torch.save({"before": before, "after": network.state_dict(), "loss": loss, "accuracy": accuracy},
                   folder / f"{processes.world_size}.pt")


together = Processes.join(torch.device("cpu"))
main(Path(sys.argv[1]), together)
together.leave()

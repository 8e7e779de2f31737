"""FLOPs by module: each part's own, whatever other threads compute meanwhile."""

import threading

import torch
from torch import nn

from mvit import MobileViT
from mvit.explain.flops import flops_by_module
from mvit.explain.gradcam import gradcam


class Meanwhile(nn.Module):
    """Passes on what it is given; before, another thread does something."""

    def __init__(self, something):
        super().__init__()
        self.something = something

    def forward(self, x):
        thread = threading.Thread(target=self.something)
        thread.start()
        thread.join()
        return x

    def __deepcopy__(self, _):
        return Meanwhile(self.something)


def test_each_module_counts_what_is_in_it():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 1)))
    first, second = 2 * 3 * 4 * 9 * 30 * 30, 2 * 4 * 2 * 30 * 30
    assert flops_by_module(network, 32) == {"": first + second, "0": first, "1": second, "1.0": 0, "1.1": second}


def test_what_another_thread_computes_meanwhile_is_neither_counted_nor_disturbed(tiny):
    model, pixels, seen = MobileViT(tiny).eval(), torch.zeros(1, 3, 32, 32, dtype=torch.uint8), []

    def something():
        model(model.normalize(pixels))
        seen.append(gradcam(model, pixels, 1))

    alone = flops_by_module(model, 32)
    disturbed = MobileViT(tiny).eval()
    disturbed.head.insert(0, Meanwhile(something))
    counted, parts = flops_by_module(disturbed, 32), ("", "stages.0", "head")
    assert [counted[name] for name in parts] == [alone[name] for name in parts]
    assert torch.equal(*seen, gradcam(model, pixels, 1))

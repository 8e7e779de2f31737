"""Where in a network its floating-point operations are."""

import copy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker


class _Inside(ModuleTracker):
    """Which of one network's modules are at work, by name; the network itself has the name "".

    Torch's own tracker (2.13) hooks every module of the process: what other threads compute meanwhile would count as
    well, and their gradients would fail.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.parents = set()
        self.network = network

    def __enter__(self) -> "_Inside":
        for name, module in self.network.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self.parents.add(name))
            module.register_forward_hook(lambda *_, name=name: self.parents.remove(name))
        return self

    def __exit__(self, *_: Any) -> None:
        """Nothing to take back: the network is a copy, made to be counted."""


def flops_by_module(model: nn.Module, image_size: int) -> dict[str, int]:
    """Floating-point operations of one forward pass on one picture, 2 for each multiply-accumulate.

    Counted on a copy on torch's meta device, where nothing is computed: on the CPU the counter does not see into
    fused attention. As is usual, convolutions and matrix products count, element-wise operations do not.

    Returns:
        of every module with all that is in it, by its name in the model; of the whole by "".
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Inside(shadow)
    with torch.no_grad(), counter:
        shadow(torch.empty(1, 3, image_size, image_size, device="meta"))
    counts = counter.get_flop_counts()
    return {name: sum(counts.get(name, {}).values()) for name, _ in shadow.named_modules()}

"""What a network costs without being timed: parameters and FLOPs; and on what machine one is timed."""

import copy
import os
import platform
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, image_size: int = 32) -> int:
    """Floating-point operations of one forward pass on one picture, 2 for each multiply-accumulate.

    Counted on a copy on torch's meta device, where nothing is computed: on the CPU the counter does not see into
    fused attention. As is usual, convolutions and matrix products count, element-wise operations do not.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3, image_size, image_size, device="meta"))
    flops: int = counter.get_total_flops()
    return flops


def machine(device: torch.device) -> str:
    """What runs on this device here, in words."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{device.type}: {names[0] if names else platform.machine()}, {os.cpu_count()} cores"

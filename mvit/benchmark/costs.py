"""What a network costs without being timed: parameters and FLOPs; and on what machine one is timed."""

import os
import platform
from pathlib import Path

import torch
from torch import nn

from mvit.explain.flops import flops_by_module


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, image_size: int = 32) -> int:
    """Floating-point operations of one forward pass on one picture (:func:`mvit.explain.flops.flops_by_module`)."""
    return flops_by_module(model, image_size)[""]


def machine(device: torch.device) -> str:
    """What runs on this device here, in words."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{device.type}: {names[0] if names else platform.machine()}, {os.cpu_count()} cores"

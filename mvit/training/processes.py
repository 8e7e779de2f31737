"""What a run computes on: this process among those that share a batch, its device, its memory."""

import ctypes
import gc
import os
import sys
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mvit.training.settings import TrainingError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
PATIENCE = timedelta(minutes=30)  # of a process that waits for the others: the first may have CIFAR-10 to download


@dataclass(frozen=True)
class Processes:
    """This process among those that torchrun started; alone without it."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        if "RANK" not in os.environ:
            return cls()
        if device.type == "mps":
            raise TrainingError("Processes cannot share a batch on Apple's MPS: leave torchrun out, or give --device "
                                "cpu.")
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Wait for the others, and part from them. Nothing that was shared is to be held any more."""
        if self.world_size > 1:
            # DistributedDataParallel refers to itself. Were it freed as Python ends, a thread of gloo that lets go of
            # a tensor then would abort the process.
            gc.collect()
            dist.barrier()
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The network as it is to be called in training, so that all processes get the mean of their gradients."""
        if self.world_size == 1:
            return network
        return DistributedDataParallel(network, forward_sync_buffers=False)

    def sum(self, *values: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.world_size > 1:
            for value in values:
                dist.all_reduce(value)

    def average_statistics(self, model: nn.Module) -> None:
        """Give every process the mean of all BatchNorm statistics: each has seen only its own share of the batches."""
        if self.world_size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.world_size


def pick_device(name: str | None = None) -> torch.device:
    """The named device, else CUDA (this process's own card), else Apple's MPS (for one process), else the CPU."""
    if name is None:
        alone = "RANK" not in os.environ  # on MPS processes cannot share a batch
        name = "cuda" if torch.cuda.is_available() else (
            "mps" if torch.backends.mps.is_available() and alone else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainingError(f"There is no device {name} here ({str(error).splitlines()[0]}).") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of freed tensors for the next step, instead of handing it back after each.

    A feature map of a batch is tens of megabytes. By default glibc asks the kernel for each of them, and the kernel
    clears every page of it once more: more than 10,000 page faults a step, a quarter of its time.

    Returns:
        whether it will: elsewhere than with glibc nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def prepare(device: torch.device) -> None:
    """Set this process up for training: memory on a CPU; on a card products in TF32, and kernels chosen by trial."""
    keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True

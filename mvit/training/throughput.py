"""How fast training is.

This project's loop against the script that is usual, with the same network in one run, turn by turn; and where the
time of a step goes.
"""

import contextlib
import multiprocessing as mp
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mvit.benchmark.costs import machine
from mvit.benchmark.processes import fresh_processes
from mvit.compat import torchvision
from mvit.data.images import CIFAR10_SIZES, Split
from mvit.networks.compared import Network
from mvit.storage.formats import TrainingSpeed
from mvit.training.epoch import train_epoch
from mvit.training.learner import Learner
from mvit.training.network import build_network
from mvit.training.processes import Processes, prepare
from mvit.training.settings import Settings, TrainingError

# What the time of an operator, or on a card of a kernel, is counted as: by the first of these in its name.
KINDS = {
    "attention": ("scaled_dot_product", "flash_attention", "efficient_attention", "fmha"),
    "LayerNorm": ("layer_norm", "gammabeta"),
    "BatchNorm": ("batch_norm", "batchnorm", "bn_fw", "bn_bw"),
    "SiLU": ("silu",),
    "convolution": ("conv", "implicit_gemm", "wgrad", "dgrad", "fprop"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "gemm", "nvjet", "cutlass", "splitk"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::clone", "memcpy", "copy_kernel", "catarray"),
    "optimizer": ("adam", "multi_tensor"),
}


def made_images(count: int) -> Split:
    """Noise in CIFAR-10's form: how long a step takes does not depend on what is in the pictures."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Split("noise", tuple(map(str, range(10))), images, labels, torch.ones(count, dtype=torch.bool))


class Pictures(Dataset[tuple[Tensor, int]]):
    """The images one by one, as PIL pictures through torchvision's transforms."""

    def __init__(self, split: Split, network: Network) -> None:
        transforms, config = torchvision.transforms, network.config
        self.images, self.labels = split.images.permute(0, 2, 3, 1).numpy(), split.labels.tolist()
        self.picture = transforms.functional.to_pil_image
        self.transform = transforms.Compose([
            transforms.RandomCrop(config.image_size, padding=4), transforms.RandomHorizontalFlip(),
            transforms.ToTensor(), transforms.Normalize(config.mean, config.std),
        ])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(self.images[index])), self.labels[index]


def usual_epoch(network: Network, optimizer: torch.optim.Optimizer, loader: DataLoader[tuple[Tensor, int]],
                device: torch.device) -> None:
    """An epoch as most scripts have it: contiguous maps, a plain optimizer, worker processes that load PIL pictures."""
    network.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()


# What is compared: by which loop, and in how many processes.
CONTESTANTS = {"usual": ("usual", 1), "ours": ("ours", 1), "ours, two processes": ("ours", 2)}


@dataclass
class Contestant:
    """A way to train, in processes of its own (what one asks of the allocator must not serve the other) that wait for
    their turn."""

    workers: list[BaseProcess]
    pipes: list[Connection]

    @classmethod
    def start(cls, loop: str, count: int, settings: Settings, device: torch.device, steps: int,
              meeting: Path) -> "Contestant":
        """``count`` processes with this loop, which find each other by the file ``meeting``."""
        context = fresh_processes(__name__)
        workers: list[BaseProcess] = []
        pipes: list[Connection] = []
        for rank in range(count):
            here, there = context.Pipe()
            workers.append(context.Process(
                target=_work, args=(loop, Processes(rank, count), settings, device, steps, meeting, there)))
            workers[-1].start()
            there.close()  # so that a worker that dies is noticed
            pipes.append(here)
        return cls(workers, pipes)

    def ask(self, what: str) -> Any:
        """Have all its processes take a turn, or profile one; the first one's answer: seconds, or shares of time.

        Raises:
            TrainingError: a process died.
        """
        try:
            for pipe in self.pipes:
                pipe.send(what)
            first, *_ = [pipe.recv() for pipe in self.pipes]
        except (EOFError, OSError) as error:
            raise TrainingError("A process of the comparison died.") from error
        return first

    def end(self) -> None:
        for pipe, worker in zip(self.pipes, self.workers, strict=True):
            pipe.close()
            worker.join()


def _work(loop: str, processes: Processes, settings: Settings, device: torch.device, steps: int, meeting: Path,
          pipe: Connection) -> None:
    """A process: an epoch of ``steps`` batches whenever it is asked for one, until nobody is there to ask."""
    torch.set_num_threads(max(1, torch.get_num_threads() // processes.world_size))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    split = made_images(settings.batch_size * steps)
    network = build_network(settings, split).to(device)
    if loop == "usual":
        loader = DataLoader(Pictures(split, network), settings.batch_size, shuffle=True, num_workers=2,
                            multiprocessing_context=mp.get_all_start_methods()[0])  # the system's default
        optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate)

        def turn() -> None:
            usual_epoch(network, optimizer, loader, device)
    else:
        prepare(device)
        here = split.to(device)
        if processes.world_size > 1:
            dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=processes.rank,
                                    world_size=processes.world_size)
        learner = Learner(network, settings, device, processes)

        def turn() -> None:
            train_epoch(learner.step, None, here, settings, 0, processes)
    with contextlib.suppress(EOFError):  # nobody asks any more
        while True:
            if pipe.recv() == "profile":
                pipe.send(step_profile(turn, device))
                continue
            begin = time.perf_counter()
            turn()
            if device.type == "cuda":
                torch.cuda.synchronize()
            pipe.send(time.perf_counter() - begin)
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def started(ways: Mapping[str, tuple[str, int, Settings]], device: torch.device,
            steps: int) -> Iterator[dict[str, Contestant]]:
    """The contestants by name, each given by its loop, how many processes, and the settings; ended with the context."""
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mvit-")))
        contestants = {}
        for name, (loop, count, settings) in ways.items():
            contestants[name] = Contestant.start(loop, count, settings, device, steps, folder / f"meeting {name}")
            ending.callback(contestants[name].end)
        yield contestants


def images_per_second(contestants: Mapping[str, Contestant], rounds: int, images: int) -> dict[str, float]:
    """By the median of as many turns for each, one after the other, and one more that warms up.

    Raises:
        TrainingError: a process died.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    for _ in tqdm(range(rounds + 1), desc="rounds", disable=None):
        for name, contestant in contestants.items():
            times[name].append(contestant.ask("turn"))
    return {name: images / statistics.median(found[1:]) for name, found in times.items()}


def compare(settings: Settings, device: torch.device, rounds: int, steps: int) -> TrainingSpeed:
    """All of them, turn by turn: what ``training_speed.json`` holds.

    Args:
        settings: of our loop. The usual script has AdamW whatever they say.
        device: where. Two processes are compared on a CPU alone.
        rounds: turns for each.
        steps: batches in a turn. The usual script's workers are started within it, as they are in its every epoch.

    Raises:
        TrainingError: a process died.
    """
    ways = {name: (loop, count, settings) for name, (loop, count) in CONTESTANTS.items()
            if count == 1 or device.type == "cpu"}
    with started(ways, device, steps) as contestants:
        speed = images_per_second(contestants, rounds, settings.batch_size * steps)
        step = contestants["ours"].ask("profile")
    return {
        "machine": machine(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "recipe": settings.recipe,
        "bfloat16": settings.bfloat16,
        "batch_size": settings.batch_size,
        "rounds": rounds,
        "steps": steps,
        "images_per_second": speed,
        "ratio": {name: found / speed["usual"] for name, found in speed.items() if name != "usual"},
        "minutes_for_20_epochs": {name: 20 * CIFAR10_SIZES["train"] / found / 60 for name, found in speed.items()},
        "step": step,
    }


def step_profile(turn: Callable[[], None], device: torch.device) -> dict[str, float]:
    """Shares of the time that operators themselves take, by kind, the largest first."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        turn()
    spent: defaultdict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        name = event.key.lower()
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other")
        spent[kind] += event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
    total = sum(spent.values())
    return dict(sorted(((kind, time / total) for kind, time in spent.items()), key=lambda item: -item[1]))

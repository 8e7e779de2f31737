"""How fast training is: ``python -m mvit.throughput``.

This project's loop against the script that is usual, with the same network in one run, turn by turn; and where the
time of a step goes.
"""

import argparse
import platform
import statistics
import sys
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mvit.benchmark import machine
from mvit.data import CIFAR10_SIZES, Split
from mvit.files import CHECKPOINTS, write_json
from mvit.model import MobileViT
from mvit.optimizers import build_optimizers
from mvit.training import RECIPES, Processes, Settings, TrainingError, build_network, pick_device, train_epoch

# What an operator's time is counted as, by the beginning of its name.
KINDS = {
    "convolution": ("aten::convolution", "aten::mkldnn_convolution", "aten::_slow_conv", "aten::thnn_conv",
                    "aten::cudnn_convolution", "aten::_conv_depthwise"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "BatchNorm": ("aten::native_batch_norm", "aten::cudnn_batch_norm"),
    "SiLU": ("aten::silu",),
    "attention": ("aten::_scaled_dot_product", "aten::_flash_attention", "aten::_efficient_attention"),
    "LayerNorm": ("aten::native_layer_norm",),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::clone"),
}


def made_images(count: int) -> Split:
    """Noise in CIFAR-10's form: how long a step takes does not depend on what is in the pictures."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Split("noise", tuple(map(str, range(10))), images, labels, torch.ones(count, dtype=torch.bool))


class Pictures(Dataset):
    """The images one by one, as PIL pictures through torchvision's transforms."""

    def __init__(self, split: Split, network: MobileViT):
        from mvit.compat import torchvision

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


def usual_epoch(network: MobileViT, optimizer: torch.optim.Optimizer, loader: DataLoader, device: torch.device) -> None:
    """An epoch as most scripts have it: contiguous maps, a plain optimizer, worker processes that load PIL pictures."""
    network.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()


def compare(settings: Settings, device: torch.device, rounds: int, steps: int) -> dict:
    """Both ways, turn by turn: what ``training_speed.json`` holds.

    Args:
        settings: of our loop. The usual script has AdamW whatever they say.
        device: where.
        rounds: turns for each.
        steps: batches in a turn. The usual script's workers are started within it, as they are in its every epoch.
    """
    split = made_images(settings.batch_size * steps)
    networks = {name: build_network(settings, split).to(device) for name in ("usual", "ours")}
    loader = DataLoader(Pictures(split, networks["usual"]), settings.batch_size, shuffle=True, num_workers=2)
    plain = torch.optim.AdamW(networks["usual"].parameters(), settings.learning_rate)
    ours = networks["ours"].to(memory_format=torch.channels_last)
    optimizers = build_optimizers(ours, settings.optimizer, settings.learning_rate, settings.weight_decay,
                                  settings.decay_all)
    here = split.to(device)
    turns = {
        "usual": lambda: usual_epoch(networks["usual"], plain, loader, device),
        "ours": lambda: train_epoch(ours, ours, optimizers, None, here, settings, 0, Processes()),
    }
    times = defaultdict(list)
    for _ in tqdm(range(rounds + 1), desc="rounds", disable=None):
        for name, turn in turns.items():
            begin = time.perf_counter()
            turn()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - begin)
    speed = {name: len(split) / statistics.median(found[1:]) for name, found in times.items()}  # the first warms up
    return {
        "machine": machine(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "recipe": settings.recipe,
        "batch_size": settings.batch_size,
        "rounds": rounds,
        "images_per_second": speed,
        "ratio": speed["ours"] / speed["usual"],
        "minutes_for_20_epochs": 20 * CIFAR10_SIZES["train"] / speed["ours"] / 60,
        "step": step_profile(turns["ours"], device),
    }


def step_profile(turn, device: torch.device) -> dict[str, float]:
    """Shares of the time that operators themselves take, by kind, the largest first."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        turn()
    spent = defaultdict(float)
    for event in profiled.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), "other")
        spent[kind] += event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
    total = sum(spent.values())
    return dict(sorted(((kind, time / total) for kind, time in spent.items()), key=lambda item: -item[1]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.throughput", description=__doc__.split("\n\n")[1])
    parser.add_argument("--recipe", choices=RECIPES, default="reference", help="ours (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of these that is there)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, metavar="N", help="batches in a turn (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="PATH", default=CHECKPOINTS / "training_speed.json",
                        help="file to write (default: checkpoints/training_speed.json)")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.steps < 1:
        parser.error("--rounds and --steps are at least 1")
    try:
        result = compare(RECIPES[options.recipe], pick_device(options.device), options.rounds, options.steps)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 2
    write_json(options.output, result)
    print(f"{result['machine']}, {result['threads']} thread(s), torch {result['torch']}")
    for name, speed in result["images_per_second"].items():
        print(f"{name:6} {speed:7.0f} images/s")
    print(f"ratio  {result['ratio']:7.2f}; twenty epochs in {result['minutes_for_20_epochs']:.0f} minutes")
    print("a step: " + ", ".join(f"{kind} {share:.0%}" for kind, share in result["step"].items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

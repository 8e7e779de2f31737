"""How fast other networks are trained, beside ours."""

from dataclasses import replace
from datetime import date

import torch

from mvit.benchmark.costs import machine
from mvit.storage.formats import RivalSpeed
from mvit.training.settings import RECIPES, Settings
from mvit.training.throughput import images_per_second, started

REFERENCE = RECIPES["reference"]
RIVALS: tuple[Settings, ...] = (REFERENCE, replace(REFERENCE, network="resnet50", stem="imagenet"),
                                replace(REFERENCE, network="resnet50", stem="cifar"))


def compare_networks(device: torch.device, rounds: int, steps: int,
                     rivals: tuple[Settings, ...] = RIVALS) -> RivalSpeed:
    """Our loop with each network, turn by turn: what ``compared/training_speed.json`` holds.

    On a CPU each is also trained in bfloat16, and the faster of the two counts.

    Args:
        device: where.
        rounds: turns for each.
        steps: batches in a turn.

    Raises:
        TrainingError: a process died.
    """
    precisions = (False, True) if device.type == "cpu" else (False,)
    ways = {f"{settings.checkpoint} {bfloat16}": ("ours", 1, replace(settings, bfloat16=bfloat16))
            for settings in rivals for bfloat16 in precisions}
    with started(ways, device, steps) as contestants:
        found = images_per_second(contestants, rounds, REFERENCE.batch_size * steps)
    speed, faster = {}, {}
    for name in (settings.checkpoint for settings in rivals):
        speed[name], faster[name] = max((found[f"{name} {bfloat16}"], bfloat16) for bfloat16 in precisions)
    return {"machine": machine(device), "threads": torch.get_num_threads(), "torch": torch.__version__,
            "date": date.today().isoformat(), "batch_size": REFERENCE.batch_size, "rounds": rounds, "steps": steps,
            "images_per_second": speed, "bfloat16": faster}

"""What the learning rate does over a run."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvit.training.settings import Settings

# Share of the highest learning rate, by the share of the run that is over.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}


def learning_rate(settings: "Settings", epoch: float) -> float:
    """The learning rate when ``epoch`` passes over the images (a fraction within one) are done."""
    warmup = settings.warmup_epochs
    if epoch < warmup:
        return settings.learning_rate * epoch / warmup
    return settings.learning_rate * SCHEDULES[settings.schedule]((epoch - warmup) / max(settings.epochs - warmup, 1e-9))

"""One step: its loss, and what a recorded one does."""

import pytest
import torch
import torch.nn.functional as F

from mvit import MobileViT, MobileViTConfig
from mvit.optimizers import OPTIMIZERS, build_optimizers
from mvit.step import WARM_UP, Step, soft_targets
from mvit.training import Settings
from tests.conftest import CLASSES, TINY


def test_cross_entropy_against_a_mixture_is_the_mixture():
    labels, logits = torch.tensor([0, 2]), torch.randn(2, 3)
    answers = torch.randn(2, 3).softmax(1)
    mixed = F.cross_entropy(logits, soft_targets(labels, answers, 0.3, label_smoothing=0.2))
    torch.testing.assert_close(mixed, 0.7 * F.cross_entropy(logits, labels, label_smoothing=0.2)
                               + 0.3 * F.cross_entropy(logits, answers))


def made_step(settings: Settings, device: str = "cpu", taught: bool = False) -> Step:
    torch.manual_seed(0)
    network = MobileViT(MobileViTConfig(**TINY, class_names=CLASSES)).to(device, memory_format=torch.channels_last)
    teacher = None
    if taught:
        teacher = MobileViT(MobileViTConfig(**TINY, class_names=CLASSES)).to(device).eval().requires_grad_(False)
    optimizers = build_optimizers(network, settings.optimizer, settings.learning_rate, settings.weight_decay)
    return Step(network.train(), network, optimizers, teacher, settings)


def all_weights(step: Step) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in step.network.parameters()])


def made_batch(number: int, size: int, device: str = "cpu") -> tuple:
    generator = torch.Generator().manual_seed(number)
    draws = (torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
             torch.randint(0, len(CLASSES), (size,), generator=generator),
             torch.randint(0, 32, (size, 2), generator=generator))
    return *(draw.to(device) for draw in draws), size


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_rate_may_be_a_tensor(kind):
    """As it is where a step is recorded."""
    settings = Settings(batch_size=8, optimizer=kind, learning_rate=0.01, weight_decay=0.1)
    steps = [made_step(settings), made_step(settings)]
    begin = all_weights(steps[0])
    for number, rate in enumerate((0.01, 0.002)):
        for step, given in zip(steps, (rate, torch.tensor(rate)), strict=True):
            step(*made_batch(number, 8), given)
    moved = [all_weights(step) - begin for step in steps]
    assert moved[0].abs().max() > 1e-3
    assert (moved[0] - moved[1]).norm() < 1e-3 * moved[0].norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("taught", [False, True])
def test_recorded_steps_are_those_taken_one_by_one(taught):
    """The whole way: a warm-up, the recording, replays at other rates, and smaller batches between them."""
    settings = Settings(batch_size=16, optimizer="muon", learning_rate=0.01, weight_decay=0.1, cutout=8,
                        teacher="made" if taught else "", distillation=0.5 if taught else 0)
    losses, moved = [], []
    for replays in (True, False):
        step = made_step(settings, "cuda", taught)
        step.replays = replays
        begin = all_weights(step)
        losses.append([])
        for number in range(WARM_UP + 6):
            loss, _ = step(*made_batch(number, 5 if number % 4 == 3 else 16, "cuda"), 0.002 * (1 + number % 3))
            losses[-1].append(loss.item())
        assert (step.graph is not None) == replays
        moved.append(all_weights(step) - begin)
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=2e-2, atol=0)
    assert (moved[0] - moved[1]).norm() < 0.15 * moved[1].norm()  # rounding grows; a step left out is more

"""One step: its loss, and what a recorded one does."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mvit import MobileViT, MobileViTConfig
from mvit.model import Attention
from mvit.optimizers import OPTIMIZERS, build_optimizers
from mvit.step import WARM_UP, Step, in_bfloat16, soft_targets
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
    return Step(network.train(), network, optimizers, teacher, 0.5, cutout=8)


def made_batch(number: int, size: int, device: str = "cpu") -> tuple:
    generator = torch.Generator().manual_seed(number)
    draws = (torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
             torch.randint(0, len(CLASSES), (size,), generator=generator),
             torch.randint(0, 32, (size, 2), generator=generator))
    return *(draw.to(device) for draw in draws), size


def all_weights(step: Step) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in step.network.parameters()])


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_rate_may_be_a_tensor_that_nobody_reads(kind, monkeypatch):
    """As it is where a step is recorded: a number that is taken from it once would be in every replay."""
    settings = Settings(optimizer=kind, learning_rate=0.01, weight_decay=0.1)
    steps = [made_step(settings), made_step(settings)]
    begin = all_weights(steps[0])
    for number, rate in enumerate((0.01, 0.002)):
        steps[0](*made_batch(number, 8), rate)

    def read(*_):
        raise AssertionError("the rate was read")

    with monkeypatch.context() as patch:
        for name in ("item", "__float__", "tolist"):
            patch.setattr(torch.Tensor, name, read)
        for number, rate in enumerate((0.01, 0.002)):
            steps[1](*made_batch(number, 8), torch.tensor(rate))
    moved = [all_weights(step) - begin for step in steps]
    assert moved[0].abs().max() > 1e-3
    assert (moved[0] - moved[1]).norm() < 1e-3 * moved[0].norm()


def test_bfloat16_is_near_float32(monkeypatch):
    """The gradient, of a network with all that is kept out of it: attention, and a depthwise filter with a stride."""
    kept, function = [], torch.Tensor.float

    def noted(tensor):
        if tensor.dtype == torch.bfloat16:
            kept.append(tensor.shape)
        return function(tensor)

    monkeypatch.setattr(torch.Tensor, "float", noted)
    steps = [made_step(Settings()), made_step(Settings())]
    steps[1].precision = in_bfloat16
    for step in steps:
        assert not kept
        step(*made_batch(0, 16), 0.0)
    gradients = [torch.cat([weight.grad.flatten() for weight in step.network.parameters()]) for step in steps]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert 0 < (gradients[0] - gradients[1]).norm() < 0.3 * gradients[0].norm()
    network = steps[0].network
    attentions = sum(isinstance(module, Attention) for module in network.modules())
    strided = sum(isinstance(module, nn.Conv2d) and module.groups > 1 and module.stride > (1, 1)
                  for module in network.modules())
    assert strided
    assert len(kept) == 3 * attentions + strided + 1  # q, k and v; maps; logits


def twin(step: Step, device: str) -> Step:
    """Another step in the same state."""
    other = made_step(Settings(optimizer="muon"), device, step.teacher is not None)
    other.network.load_state_dict(step.network.state_dict())
    for one, state in zip(other.optimizers, [optimizer.state_dict() for optimizer in step.optimizers], strict=True):
        one.load_state_dict(copy.deepcopy(state))
    return other


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("taught", [False, True])
def test_a_replayed_step_is_the_step(taught):
    """At another rate than it was recorded with, after a smaller batch, against a step that is taken by hand."""
    step = made_step(Settings(optimizer="muon", learning_rate=0.01, weight_decay=0.1), "cuda", taught)
    for number in range(WARM_UP + 2):
        step(*made_batch(number, 16, "cuda"), 0.01)
    step(*made_batch(100, 5, "cuda"), 0.01)
    assert step.graph
    by_hand, begin = twin(step, "cuda"), all_weights(step)
    batch = made_batch(101, 16, "cuda")
    results = [[value.item() for value in one(*batch, 0.002)] for one in (step, by_hand)]
    assert not by_hand.graph
    assert results[0] == pytest.approx(results[1], rel=1e-2, abs=1)
    moved = [all_weights(one) - begin for one in (step, by_hand)]
    assert (moved[0] - moved[1]).norm() < 0.2 * moved[1].norm()
    torch.testing.assert_close(dict(step.network.named_buffers()), dict(by_hand.network.named_buffers()), rtol=1e-2,
                               atol=1e-2)
    assert {type(group["lr"]) for optimizer in step.optimizers for group in optimizer.param_groups} == {float}

"""One step: its loss, and what a recorded one does."""

import contextlib
import copy
from collections import defaultdict

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mvit import MobileViT, MobileViTConfig
from mvit.training.optimizers import OPTIMIZERS, build_optimizers
from mvit.training.settings import Settings
from mvit.training.step import WARM_UP, Step, in_bfloat16, soft_targets
from tests.conftest import CLASSES, TINY


def test_cross_entropy_against_a_mixture_is_the_mixture():
    labels, logits = torch.tensor([0, 2]), torch.randn(2, 3)
    answers = torch.randn(2, 3).softmax(1)
    mixed = F.cross_entropy(logits, soft_targets(labels, answers, 0.3, label_smoothing=0.2))
    torch.testing.assert_close(mixed, 0.7 * F.cross_entropy(logits, labels, label_smoothing=0.2)
                               + 0.3 * F.cross_entropy(logits, answers))


def made_step(settings: Settings, device: str = "cpu", taught: bool = False, bfloat16: bool = False) -> Step:
    torch.manual_seed(0)
    network = MobileViT(MobileViTConfig(**TINY, class_names=CLASSES)).to(device, memory_format=torch.channels_last)
    teacher = None
    if taught:
        teacher = MobileViT(MobileViTConfig(**TINY, class_names=CLASSES)).to(device).eval().requires_grad_(False)
    optimizers = build_optimizers(network, settings.optimizer, settings.learning_rate, settings.weight_decay)
    return Step(network.train(), network, optimizers, teacher, 0.5, cutout=8, bfloat16=bfloat16)


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


class Precisions(TorchDispatchMode):
    """Notes in what convolutions and attention are computed, forward and backward."""

    def __init__(self):
        super().__init__()
        self.used = defaultdict(list)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if "attention" in name:
            self.used["attention"].append(args[0].dtype)
        elif "convolution" in name:
            image, weight = (args[1], args[2]) if "backward" in name else args[:2]
            stride = args[4] if "backward" in name else args[3]
            depthwise = weight.shape[1] == 1
            self.used[f"depthwise, stride {stride[0]}" if depthwise else "dense"].append(image.dtype)
        return function(*args, **kwargs or {})


def test_bfloat16_is_near_float32():
    """But for what is slow in it, which is in float32 all the same."""
    steps, used = [made_step(Settings(), bfloat16=bfloat16) for bfloat16 in (False, True)], []
    for step in steps:
        with Precisions() as precisions:
            step(*made_batch(0, 16), 0.0)
        used.append(precisions.used)
    float32, bfloat16 = {torch.float32}, {torch.bfloat16}
    assert {name: set(types) for name, types in used[0].items()} == {
        "dense": float32, "depthwise, stride 2": float32, "attention": float32}
    assert {name: set(types) for name, types in used[1].items()} == {
        "dense": bfloat16, "depthwise, stride 2": float32, "attention": float32}
    assert {name: len(types) for name, types in used[0].items()} == {
        name: len(types) for name, types in used[1].items()}
    gradients = [torch.cat([weight.grad.flatten() for weight in step.network.parameters()]) for step in steps]
    assert {gradient.dtype for gradient in gradients} == float32
    assert 0 < (gradients[0] - gradients[1]).norm() < 0.3 * gradients[0].norm()


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
    assert step.recording
    by_hand, begin = twin(step, "cuda"), all_weights(step)
    batch = made_batch(101, 16, "cuda")
    results = [[value.item() for value in one(*batch, 0.002)] for one in (step, by_hand)]
    assert not by_hand.recording
    assert results[0] == pytest.approx(results[1], rel=1e-2, abs=1)
    moved = [all_weights(one) - begin for one in (step, by_hand)]
    assert (moved[0] - moved[1]).norm() < 0.2 * moved[1].norm()
    torch.testing.assert_close(dict(step.network.named_buffers()), dict(by_hand.network.named_buffers()), rtol=1e-2,
                               atol=1e-2)
    assert {type(group["lr"]) for optimizer in step.optimizers for group in optimizer.param_groups} == {float}


def test_networks_may_call_convolutions_by_keyword_in_bfloat16():
    """As timm's do; a stride in a depthwise one is computed in float32, a mask of attention left as it is."""
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(4, 1, 3, 3, requires_grad=True)
    with in_bfloat16():
        y = F.conv2d(x, weight=weight, stride=2, groups=4)
        z = F.scaled_dot_product_attention(*x.unbind(0) * 3, attn_mask=torch.ones(8, 8, dtype=torch.bool))
    torch.testing.assert_close(y, F.conv2d(x, weight, None, 2, 0, 1, 4), rtol=1e-5, atol=1e-5)
    assert z.isfinite().all()
    y.sum().backward()
    assert weight.grad is not None


def test_gradients_of_dilated_filters_are_right_in_bfloat16():
    """Of feature maps whose channels come last; torch's own have an error as large as they are, or are no numbers."""
    x = torch.randn(32, 12, 16, 16).to(memory_format=torch.channels_last)
    answer = torch.randn(32, 12, 16, 16).to(memory_format=torch.channels_last)
    gradients = []
    for precision in (contextlib.nullcontext, in_bfloat16):
        weight = torch.randn(12, 1, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
        with precision():
            y = F.conv2d(x, weight, padding=2, dilation=2, groups=12)
        (y.float() * answer).sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)

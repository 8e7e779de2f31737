"""One step of training: what the loss is, and how it changes the weights."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from mvit.data.augmentation import cut_out
from mvit.model import MobileViT
from mvit.networks.compared import Network

WARM_UP = 3  # steps before one is recorded: kernels are chosen and the optimizers' states made in them


def soft_targets(labels: Tensor, probabilities: Tensor, share: float, label_smoothing: float = 0.0) -> Tensor:
    """What to learn from a teacher and the labels together.

    Cross-entropy against a mixture is the mixture of the cross-entropies against its parts.

    Args:
        labels: int64, (B,).
        probabilities: (B, classes), the teacher's.
        share: the teacher's, from 0 to 1.
        label_smoothing: share of the labels' part that is spread evenly over all classes.

    Returns:
        (B, classes), probabilities.
    """
    classes = probabilities.shape[1]
    smoothed = F.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes
    return torch.lerp(smoothed.to(probabilities), probabilities, share)


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether this is a CPU with instructions for products of bfloat16: AMX (Intel's Xeon since 2023) or AVX-512's
    (AMD's EPYC since 2022; on one of 2024 a step takes 0.7 of its time in float32)."""
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


@contextlib.contextmanager
def in_bfloat16() -> Iterator[None]:
    """Compute products and convolutions of float32 weights in bfloat16, and keep the maps between them in it (mixed
    precision; Micikevicius et al., arXiv 1710.03740; bfloat16 has float32's range, so that losses need no scale)."""
    with torch.autocast("cpu", torch.bfloat16), _NotInBfloat16():
        yield


class _NotInBfloat16(TorchFunctionMode):
    """Float32 within autocast for what torch has no good bfloat16 gradient for on a CPU: a slow one for attention and
    for depthwise convolution with a stride; with a dilation a wrong one, or none that is a number (2.13, channels
    last)."""

    def __torch_function__(self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        apart = function is F.scaled_dot_product_attention or (
            function is F.conv2d and _is_depthwise_with_steps(*args, **kwargs))
        if not apart:
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            args32, kwargs32 = tree_map_only(Tensor, _to_float32, (args, kwargs))
            return function(*args32, **kwargs32).to(args[0].dtype)


def _is_depthwise_with_steps(input: Tensor, weight: Tensor, bias: Tensor | None = None,
                             stride: int | tuple[int, ...] = 1, padding: Any = 0,
                             dilation: int | tuple[int, ...] = 1, groups: int = 1) -> bool:
    """Of the arguments of ``conv2d``: with a stride or a dilation."""
    return groups > 1 and any((step if isinstance(step, int) else max(step)) > 1 for step in (stride, dilation))


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor  # a mask is none


@dataclass(frozen=True)
class Recording:
    """A step as a CUDA graph: replayed, it reads its inputs and the learning rate and writes its result in place."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, Tensor, Tensor]  # images, labels, centres
    rate: Tensor
    result: tuple[Tensor, Tensor]

    def replay(self, images: Tensor, labels: Tensor, centres: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        for recorded, now in zip(self.inputs, (images, labels, centres), strict=True):
            recorded.copy_(now)
        self.rate.fill_(rate)
        self.graph.replay()
        return self.result


class Step:
    """Changes a network's weights by a batch, again and again.

    In a single process on a CUDA card a step is recorded once and then replayed (as a CUDA graph): its thousand small
    kernels take less time than Python needs to start them one by one.

    Args:
        model: what is called: the network, or DistributedDataParallel around it.
        network: the network itself.
        optimizers: of its weights.
        teacher: whose answers are a part of the target; None for none.
        distillation: that part, from 0 to 1.
        label_smoothing: share of the labels' part that is spread evenly over all classes.
        cutout: side in pixels of the square that is blanked in every image; 0: none.
        body_rate: learning rate of all but the last layer, as a share of the last layer's.
        bfloat16: compute in it what is fast in it, on a CPU.
        world_size: processes that share each batch.
    """

    def __init__(self, model: nn.Module, network: Network, optimizers: list[torch.optim.Optimizer],
                 teacher: MobileViT | None = None, distillation: float = 0.0, label_smoothing: float = 0.0,
                 cutout: int = 0, bfloat16: bool = False, world_size: int = 1, body_rate: float = 1.0):
        self.model, self.network, self.optimizers, self.teacher = model, network, optimizers, teacher
        self.distillation, self.label_smoothing, self.cutout = distillation, label_smoothing, cutout
        self.precision = in_bfloat16 if bfloat16 else contextlib.nullcontext
        self.world_size, self.body_rate, self.frozen = world_size, body_rate, False
        device = next(network.parameters()).device
        # Where steps are replayed: the stream that one is recorded in.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and world_size == 1 else None
        self.taken = 0  # steps that were not replayed
        self.whole = 0  # images in the first batch; an epoch's last may have others
        self.recording: Recording | None = None

    def __call__(self, images: Tensor, labels: Tensor, centres: Tensor, batch_size: int,
                 rate: float) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            images: uint8, (b, 3, H, W), augmented: this process's part of the batch.
            labels: int64, (b,).
            centres: int64, (b, 2): of the squares that are blanked, if any are.
            batch_size: images in the batch, of all processes.
            rate: the learning rate.

        Returns:
            (loss, correct): the sum of this part's losses and how many answers were right, to be read before the next
            step.
        """
        self.whole = self.whole or len(labels)
        if self.stream is not None and self.recording is None and self.taken >= WARM_UP and len(labels) == self.whole:
            self.recording = self.record(images, labels, centres)
        self.set_rate(rate)
        if self.recording and len(labels) == self.whole:
            return self.recording.replay(images, labels, centres, rate)

        self.taken += 1
        if self.stream is None:
            return self.take(images, labels, centres, batch_size)
        self.stream.wait_stream(torch.cuda.current_stream())  # to warm it up
        with torch.cuda.stream(self.stream):
            result = self.take(images, labels, centres, batch_size)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def take(self, images: Tensor, labels: Tensor, centres: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
        """A step, operator by operator, at the learning rate that the optimizers have."""
        images = self.network.normalize(images)
        if self.cutout:
            images = cut_out(images, centres, self.cutout)
        with self.precision():
            logits = self.model(images).float()
        if self.teacher:
            with self.precision(), torch.no_grad():
                answers = self.teacher.probabilities(self.teacher(images).float())
            targets = soft_targets(labels, answers, self.distillation, self.label_smoothing)
            loss = F.cross_entropy(logits, targets, reduction="sum")
        else:
            loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)

        self.network.zero_grad()
        # DistributedDataParallel averages gradients over the processes; this makes it the mean over the batch.
        (loss * self.world_size / batch_size).backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach(), (logits.argmax(1) == labels).sum()

    def record(self, images: Tensor, labels: Tensor, centres: Tensor) -> Recording:
        """Record a step with a batch of this size, without taking it."""
        inputs = images.clone(), labels.clone(), centres.clone()
        rate = torch.zeros((), device=images.device)  # a number would be the same in every replay
        adamw = [group for optimizer in self.optimizers for group in optimizer.param_groups if "capturable" in group]
        for group in adamw:
            group["capturable"] = True  # it asks, and complains of it in a step that is not recorded
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.set_rate(rate)
            result = self.take(*inputs, len(labels))
        for group in adamw:
            group["capturable"] = False
        return Recording(graph, inputs, rate, result)

    def set_rate(self, rate: float | Tensor) -> None:
        of_body = 0.0 if self.frozen else self.body_rate
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * of_body if group["body"] else rate

    def freeze_body(self, frozen: bool) -> None:
        """Have all layers but the last keep their weights and statistics, or no longer."""
        if frozen != self.frozen:
            self.frozen, self.recording = frozen, None

    def training_mode(self) -> None:
        """Put the network into the mode for steps: BatchNorm by the batch's statistics, unless the body is frozen."""
        self.model.train()
        if self.frozen:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

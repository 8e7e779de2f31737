"""One step of training: what the loss is, and how it changes the weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvit.data import cut_out
from mvit.model import MobileViT

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


class Step:
    """Changes a network's weights by a batch, again and again.

    On a CUDA card a step is recorded once and replayed (as a CUDA graph): its thousand small kernels take less time
    than Python needs to start them one by one.

    Args:
        model: what is called: the network, or DistributedDataParallel around it.
        network: the network itself.
        optimizers: of its weights.
        teacher: whose answers are a part of the target; None for none.
        settings: the run's :class:`mvit.training.Settings`.
        world_size: processes that share each batch.
    """

    def __init__(self, model: nn.Module, network: MobileViT, optimizers: list[torch.optim.Optimizer],
                 teacher: MobileViT | None, settings, world_size: int = 1):
        self.model, self.network, self.optimizers, self.teacher = model, network, optimizers, teacher
        self.settings, self.world_size = settings, world_size
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.replays = next(network.parameters()).is_cuda and world_size == 1
        self.whole_batches = 0
        self.graph = None

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
        self.set_rate(rate)
        if not self.replays or len(labels) != self.settings.batch_size:  # an epoch's last batch may be smaller
            return self.take(images, labels, centres, batch_size)
        self.whole_batches += 1
        if self.whole_batches == 1:
            self.stream = torch.cuda.Stream()
        if self.whole_batches <= WARM_UP:  # on the stream that is recorded later
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                result = self.take(images, labels, centres, batch_size)
            torch.cuda.current_stream().wait_stream(self.stream)
            return result
        if self.graph is None:
            self.record(images, labels, centres, batch_size)
            self.set_rate(rate)  # for batches that are not replayed
        for recorded, now in zip(self.inputs, (images, labels, centres), strict=True):
            recorded.copy_(now)
        self.rate.fill_(rate)
        self.graph.replay()
        return self.result

    def take(self, images: Tensor, labels: Tensor, centres: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
        """A step at the learning rate that the optimizers have."""
        settings = self.settings
        images = self.network.normalize(images)
        if settings.cutout:
            images = cut_out(images, centres, settings.cutout)
        logits = self.model(images)
        if self.teacher:
            with torch.no_grad():
                answers = self.teacher.probabilities(self.teacher(images))
            targets = soft_targets(labels, answers, settings.distillation, settings.label_smoothing)
            loss = F.cross_entropy(logits, targets, reduction="sum")
        else:
            loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=settings.label_smoothing)

        self.network.zero_grad()
        # DistributedDataParallel averages gradients over the processes; this makes it the mean over the batch.
        (loss * self.world_size / batch_size).backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach(), (logits.argmax(1) == labels).sum()

    def record(self, images: Tensor, labels: Tensor, centres: Tensor, batch_size: int) -> None:
        """Record a step, without taking it."""
        self.inputs = images.clone(), labels.clone(), centres.clone()
        self.rate = torch.zeros((), device=images.device)  # a number would be the same in every replay
        self.set_rate(self.rate)
        for group in self.groups:
            group["capturable"] = True  # AdamW asks, and complains of it in a step that is not recorded
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.result = self.take(*self.inputs, batch_size)
        for group in self.groups:
            group["capturable"] = False

    def set_rate(self, rate: float | Tensor) -> None:
        for group in self.groups:
            group["lr"] = rate

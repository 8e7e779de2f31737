"""How good a checkpoint is: accuracy, confusion matrix, calibration."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mvit.data.images import DataError, Split
from mvit.data.pictures import to_network_size
from mvit.model import MobileViTConfig
from mvit.networks.compared import ComparedConfig, Network
from mvit.storage.formats import ConfidenceBin, Evaluation


@torch.no_grad()
def predict(model: Network, split: Split, batch_size: int = 500) -> Tensor:
    """The network's logits, in evaluation mode and without augmentation, for a split that lies on its device.

    With torch.distributed every process runs its share of the images and gets the logits of all of them.

    Returns:
        (N, classes), on the split's device.
    """
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    logits = torch.zeros(len(split), len(model.config.class_names), device=split.labels.device)
    training = model.training
    model.eval()
    for index in torch.arange(rank, len(split), world_size).split(batch_size):
        logits[index] = model(model.normalize(split.images[index]))
    model.train(training)
    if world_size > 1:
        dist.all_reduce(logits)
    return logits


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats, and the share that is right; of logits (N, classes) and labels, int64 (N,)."""
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).sum().item() / len(labels)


def evaluate(model: Network, split: Split, logits: Tensor | None = None) -> Evaluation:
    """Everything that ``evaluation.json`` holds on one split: accuracies as fractions, the loss in nats.

    Confidences, and with them ``reliability``, are those after the network's temperature; the loss is before it.
    Logits are those of :func:`predict`, for who has them already.
    """
    logits, labels = (predict(model, split) if logits is None else logits).cpu(), split.labels.cpu()
    names, temperature = model.config.class_names, model.config.temperature
    confusion = (labels * len(names) + logits.argmax(1)).bincount(minlength=len(names) ** 2).view(len(names), -1)
    correct, totals = confusion.diag(), confusion.sum(1)
    loss, accuracy = loss_and_accuracy(logits, labels)
    return {
        "split": split.name,
        "images": len(split),
        "accuracy": accuracy,
        "accuracy_interval_95": wilson_interval(int(correct.sum()), len(split)),
        "loss": loss,
        "class_names": list(names),
        "per_class_accuracy": {
            name: c / n if n else None for name, c, n in zip(names, correct.tolist(), totals.tolist(), strict=True)
        },
        "confusion_matrix": confusion.tolist(),
        "temperature": temperature,
        "calibration_error": calibration_error(logits / temperature, labels),
        "calibration_error_at_temperature_1": calibration_error(logits, labels),
        "reliability": reliability(logits / temperature, labels),
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "device": split.images.device.type,
    }


# --------------------------------------------------------------------------- confidence


def reliability(logits: Tensor, labels: Tensor) -> list[ConfidenceBin]:
    """For each tenth of confidence how many images fell into it, and what share of them was right."""
    confidence, predicted = logits.softmax(1).max(1)
    tenth = (confidence * 10).long().clamp(max=9)
    counts = (tenth * 2 + (predicted == labels)).bincount(minlength=20).view(10, 2)
    return [
        {"confidence_from": i / 10, "confidence_to": (i + 1) / 10, "images": wrong + right,
         "accuracy": right / (wrong + right) if wrong + right else None}
        for i, (wrong, right) in enumerate(counts.tolist())
    ]


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, on average over images.

    Bins of equal width, as Guo et al. (arXiv 1706.04599, section 2) have it.

    Args:
        logits: (N, classes), after the temperature.
        labels: int64, (N,).
    """
    confidence, predicted = logits.softmax(1).max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = (predicted == labels).double() - confidence.double()
    return torch.zeros(bins, dtype=torch.float64).index_add(0, index, gap).abs().sum().item() / len(labels)


def calibrate(model: Network, split: Split) -> MobileViTConfig | ComparedConfig:
    """The network's configuration with the temperature that fits its confidences to these images, never trained on.

    Temperature scaling (Guo et al., section 4.2): logits are divided by one number, which changes no answer.
    """
    logits, labels = predict(model, split).cpu().double(), split.labels.cpu()  # Apple's MPS has no doubles
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_temperature.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    # Images that are all classified rightly would make it vanish.
    return replace(model.config, temperature=round(log_temperature.exp().clamp(0.05, 20).item(), 4))


# --------------------------------------------------------------------------- what is evaluated


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson, JASA 22, 1927): what it may be over all such images."""
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)  # rounding may lead beyond


def with_classes_of(model: Network, split: Split) -> Split:
    """The split with its labels in the order of the network's classes; they may be fewer.

    Raises:
        DataError: a class that the network does not know.
    """
    unknown = sorted(set(split.class_names) - set(model.config.class_names))
    if unknown:
        raise DataError(f"The network does not know the class {', '.join(unknown)} of the {split.name}.")
    index = torch.tensor([model.config.class_names.index(name) for name in split.class_names])
    return replace(split, class_names=model.config.class_names, labels=index[split.labels])


def cut_and_fit(split: Split, width: int, height: int, how: str) -> Split:
    """The split as if its pictures had been width : height, each around its object, and were fitted to a square again.

    What a picture that is not square loses by centre crop and by letterbox: cut to the aspect, then fitted as on the
    page by :func:`mvit.data.pictures.to_network_size`.
    """
    size = split.images.shape[-1]
    w, h = round(size * min(1, width / height)), round(size * min(1, height / width))
    left, top = (size - w) // 2, (size - h) // 2
    fitted = [
        np.asarray(to_network_size(Image.fromarray(pixels[top : top + h, left : left + w]), size, how))
        for pixels in split.images.permute(0, 2, 3, 1).numpy()
    ]
    images = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2)
    return replace(split, images=images, name=f"{split.name}, cut to {width}:{height}, fitted by {how}")


def as_table(result: Evaluation) -> str:
    """The result for a person to read."""
    low, high = result["accuracy_interval_95"]
    names = result["class_names"]
    width = max(map(len, names))
    lines = [
        f"{result['split']}, {result['images']:,} images",
        f"accuracy  {result['accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%})",
        f"loss      {result['loss']:.4f}",
        f"calibration error  {result['calibration_error']:.2%} at temperature {result['temperature']:g}, "
        f"{result['calibration_error_at_temperature_1']:.2%} at 1",
        "",
        f"{'':{width}}  accuracy   predicted: " + " ".join(f"{name[:5]:>5}" for name in names),
    ]
    for name, row in zip(names, result["confusion_matrix"], strict=True):
        accuracy = result["per_class_accuracy"][name]
        cells = " ".join(f"{count:5d}" for count in row)
        lines.append(f"{name:{width}}  {'-' if accuracy is None else f'{accuracy:.1%}':>8}              {cells}")
    return "\n".join(lines)

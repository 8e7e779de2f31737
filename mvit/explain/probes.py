"""A lens: what the network would say already after its stem and after each block.

A linear probe (Alain & Bengio, arXiv 1610.01644) is a linear classifier on what a network has computed so far, here
on the average of each channel over the feature map. The network itself is not changed.

    python -m mvit.probes checkpoints/reference --data PATH
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mvit.data.images import Split
from mvit.explain.attention import only_here
from mvit.model import MobileViT
from mvit.storage.files import write_whole

FILE = "probes.safetensors"


def depths(model: MobileViT) -> dict[str, nn.Module]:
    """What is probed, in the order of the forward pass."""
    return {"stem": model.stem, **{f"block {i}": stage for i, stage in enumerate(model.stages, 1)}}


@torch.inference_mode()
def pooled_features(model: MobileViT, images: Tensor, batch_size: int = 500) -> dict[str, Tensor]:
    """The feature maps after each depth, averaged over their tokens.

    Args:
        images: uint8, (N, 3, size, size).

    Returns:
        by depth, (N, channels).
    """
    collected: dict[str, list[Tensor]] = {name: [] for name in depths(model)}
    handles = [
        module.register_forward_hook(only_here(lambda m, i, y, name=name: collected[name].append(y.mean((2, 3)))))
        for name, module in depths(model).items()
    ]
    try:
        for batch in images.split(batch_size):
            model(model.normalize(batch))
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts) for name, parts in collected.items()}


class Probes:
    """Linear probes on a network.

    Attributes:
        weights: by depth, (classes, channels) and (classes,).
        accuracy: by depth, a fraction, on the images that ``measured_on`` names.
    """

    def __init__(self, weights: dict[str, tuple[Tensor, Tensor]], accuracy: dict[str, float], measured_on: str):
        self.weights, self.accuracy, self.measured_on = weights, accuracy, measured_on

    @classmethod
    def load(cls, checkpoint: str | Path) -> "Probes | None":
        """The probes that lie with a checkpoint; None where there are none that can be read."""
        try:
            with safe_open(Path(checkpoint) / FILE, "pt") as file:
                about = json.loads(file.metadata()["probes"])
                weights = {
                    name: (file.get_tensor(f"{name}.weight"), file.get_tensor(f"{name}.bias"))
                    for name in about["accuracy"]
                }
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return cls(weights, about["accuracy"], about["measured_on"])

    def save(self, checkpoint: str | Path) -> None:
        tensors: dict[str, Tensor] = {}
        for name, (weight, bias) in self.weights.items():
            tensors |= {f"{name}.weight": weight.contiguous(), f"{name}.bias": bias.contiguous()}
        about = json.dumps({"accuracy": self.accuracy, "measured_on": self.measured_on})
        content = save(tensors, {"probes": about})  # save_file makes a file that only its owner can read
        write_whole(Path(checkpoint) / FILE, lambda part: part.write_bytes(content))

    def match(self, model: MobileViT) -> bool:
        """Whether these are probes of a network of this shape."""
        config = model.config
        widths = (config.stem_channels, *(stage.channels for stage in config.stages))
        return {name: tuple(weight.shape) for name, (weight, _) in self.weights.items()} == {
            name: (len(config.class_names), width) for name, width in zip(depths(model), widths, strict=True)}

    def read(self, depth: str, features: Tensor) -> Tensor:
        """(..., channels) features, averaged over the map at this depth, to (..., classes) probabilities."""
        return F.linear(features, *self.weights[depth]).softmax(-1)


def fit_probe(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression, by L-BFGS on all images at once, with a little weight decay.

    Args:
        features: (N, channels).
        labels: int64, (N,).

    Returns:
        (weight, bias): (classes, channels), (classes,).
    """
    mean, std = features.mean(0), features.std(0).clamp_min(1e-6)
    x = ((features - mean) / std).clone()
    weight, bias = torch.zeros(classes, x.shape[1], requires_grad=True), torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), labels) + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        weight = weight / std
        return weight, bias - weight @ mean


def train_probes(model: MobileViT, train: Split, test: Split) -> Probes:
    """Fit a probe at each depth on the training images as they are, and measure it on the test images."""
    train_features, test_features = (pooled_features(model, split.images) for split in (train, test))
    weights, accuracy = {}, {}
    for name, features in train_features.items():
        weights[name] = fit_probe(features.cpu(), train.labels.cpu(), len(model.config.class_names))
        predicted = F.linear(test_features[name].cpu(), *weights[name]).argmax(1)
        accuracy[name] = (predicted == test.labels.cpu()).float().mean().item()
    return Probes(weights, accuracy, test.name)

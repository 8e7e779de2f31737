"""What a network tested on JPEG copies would be right on, had the test images their canonical pixels.

The canonical test images are not at hand where only their copies are; but lossless training images may have been held
out. As those are, and copied as the test images were, they tell what a copy costs. Added to the accuracy on the copied
test images, which no choice was made by, that is the estimate. The accuracy on held-out images alone would be too high:
settings were chosen by it.
"""

import io
from dataclasses import replace
from datetime import date

import numpy as np
import torch
from PIL import Image

from mvit.data.images import JPEG_COPY, DataError, Split
from mvit.evaluation.accuracy import predict
from mvit.networks.compared import Network
from mvit.storage.formats import CanonicalEstimate, Evaluation

QUALITY = 75  # of the copies, with chroma halved, as libjpeg has both by default


def jpeg_copy(split: Split) -> Split:
    """The images as JPEG copies of them."""
    def copied(pixels: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
        return np.asarray(Image.open(file))

    images = np.stack([copied(pixels) for pixels in split.images.cpu().permute(0, 2, 3, 1).numpy()])
    return replace(split, images=torch.from_numpy(images).permute(0, 3, 1, 2).to(split.images.device),
                   lossless=torch.zeros_like(split.lossless), name=f"{split.name}, as JPEG copies")


def can_estimate(held_out: Split | None, test: Evaluation | None) -> bool:
    """Whether the held-out images, two at least, are lossless, and the test images were JPEG copies of CIFAR-10's."""
    return bool(held_out and len(held_out) > 1 and held_out.lossless.all() and test and test["split"] == JPEG_COPY)


def estimate(model: Network, held_out: Split, test: Evaluation) -> CanonicalEstimate:
    """The accuracy on the test images' canonical pixels, estimated.

    Args:
        model: the network.
        held_out: lossless training images that it was not trained on, on its device.
        test: its evaluation on JPEG copies of the test images.

    Raises:
        DataError: these images are not, or those are.
    """
    if not can_estimate(held_out, test):
        raise DataError("What JPEG copies cost is told by lossless images held out from the training, for a checkpoint "
                        f"that was tested on JPEG copies: here are {held_out.name}, and it was tested on the "
                        f"{test['split']}.")
    right, copied = ((predict(model, images).argmax(1) == images.labels).cpu().double()
                     for images in (held_out, jpeg_copy(held_out)))
    lost = right - copied
    p, n = test["accuracy"], test["images"]
    accuracy = p + lost.mean().item()
    half = 1.96 * (p * (1 - p) / n + lost.var().item() / len(lost)) ** 0.5  # independent images
    return {"accuracy": accuracy, "accuracy_interval_95": (accuracy - half, min(1.0, accuracy + half)),
            "test": test["split"], "test_accuracy": p, "held_out": held_out.name,
            "held_out_accuracy": right.mean().item(), "held_out_accuracy_as_jpeg": copied.mean().item(),
            "jpeg": f"quality {QUALITY}, chroma halved", "date": date.today().isoformat(), "torch": torch.__version__}

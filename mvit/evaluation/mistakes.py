"""The images that a network is most wrong about, by name."""

import os

import torch
from torch import Tensor

from mvit.data.images import Split
from mvit.model import MobileViT
from mvit.storage.formats import Mistake


def worst_mistakes(model: MobileViT, split: Split, logits: Tensor, count: int) -> list[Mistake]:
    """Of the images that are answered wrongly those with the most confident answers, these first.

    Args:
        model: whose classes and temperature they are.
        split: its labels in the order of the network's classes, and with its files.
        logits: (N, classes), as of :func:`mvit.evaluation.accuracy.predict`.
        count: how many, if there are so many.
    """
    confidences, answers = model.probabilities(logits).max(1)
    wrong = (answers != split.labels).nonzero()[:, 0]
    order = torch.argsort(confidences[wrong], descending=True, stable=True)
    names = model.config.class_names
    return [{"file": split.files[i], "truth": names[int(split.labels[i])], "answer": names[int(answers[i])],
             "confidence": confidences[i].item()} for i in wrong[order][:count].tolist()]


def as_lines(mistakes: list[Mistake]) -> str:
    """For a person to read: a line an image."""
    if not mistakes:
        return "Every image is answered rightly."
    files = [os.fsencode(mistake["file"]).decode(errors="replace") for mistake in mistakes]
    width = max(map(len, files))
    return "\n".join(f"{file:{width}}  is {mistake['truth']}, answered {mistake['answer']} with a confidence of "
                     f"{mistake['confidence']:.1%}" for file, mistake in zip(files, mistakes, strict=True))

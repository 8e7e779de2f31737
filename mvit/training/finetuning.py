"""What fine-tuning gains on a task with few images, over training from nothing."""

from dataclasses import replace

import torch

from mvit.data.images import Split
from mvit.evaluation.accuracy import loss_and_accuracy, predict
from mvit.training.earlier import begin_with, with_architecture
from mvit.training.epoch import train_epoch
from mvit.training.learner import Learner
from mvit.training.network import build_network
from mvit.training.processes import Processes
from mvit.training.settings import Settings


def draw(split: Split, per_class: int, seed: int) -> tuple[Split, Split]:
    """So many images of each class, drawn at random, and all others."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    labels = split.labels[order]
    chosen = torch.cat([order[labels == label][:per_class] for label in range(len(split.class_names))])
    others = torch.ones(len(split), dtype=torch.bool)
    others[chosen] = False
    return split[chosen], split[others]


def accuracy_after(settings: Settings, train: Split, judged: Split) -> float:
    """Train a network by these settings, as a run does, without keeping it.

    Returns:
        its accuracy on the images of ``judged``, which are looked at once, at the end.
    """
    if settings.weights:
        settings = with_architecture(settings)
    network = build_network(settings, train)
    if settings.weights:
        begin_with(network, settings, train, judged)
    processes = Processes()
    learner = Learner(network, settings, train.images.device, processes)
    for epoch in range(settings.epochs):
        learner.step.freeze_body(epoch < settings.freeze_epochs)
        train_epoch(learner.step, learner.averaged, train, settings, epoch, processes)
    return loss_and_accuracy(predict(learner.shipped, judged), judged.labels)[1]


def accuracies(settings: Settings, train: Split, test: Split | None, per_class: int, seeds: range) -> list[float]:
    """For each seed the accuracy that these settings reach with so many images a class of the training split.

    Args:
        test: what they are judged by; None: 2,000 other images of the training split, to choose settings by.
    """
    found = []
    for seed in seeds:
        few, others = draw(train, per_class, seed)
        judged = test or draw(others, 2000 // len(train.class_names), seed)[0]
        found.append(accuracy_after(replace(settings, seed=seed), few, judged))
    return found

"""A run as people watch it: TensorBoard's event files, beside the plain line an epoch and ``history.json``."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mvit.data.images import Split
from mvit.documents.rendering import markdown
from mvit.networks.compared import Network
from mvit.storage.files import ROOT
from mvit.storage.formats import Epoch
from mvit.training.settings import TrainingError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOGS = ROOT / "runs" / "tensorboard"
EXAMPLES = 16  # of the watched images, from first to last, so that all classes are among them


def need_tensorboard() -> None:
    """Raise a TrainingError where it is not installed."""
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise TrainingError("--log tensorboard needs a package that is not installed: pip install "
                            "tensorboard.") from error


def open_log(checkpoint: Path, begun: str) -> "SummaryWriter":
    """What writes into a run's folder below ``runs/tensorboard``: its checkpoint's name, and when it was begun; of a
    run that goes on the same as before."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(LOGS / checkpoint.name / begun)


def log_epoch(writer: "SummaryWriter", record: Epoch, network: Network, watched: Split) -> None:
    """Write an epoch's record in the history, and what the network says of some watched images."""
    epoch = record["epoch"]
    for name, value in record.items():
        part, _, quantity = name.rpartition("_")
        if name in ("learning_rate", "images_per_second", "seconds"):
            writer.add_scalar(f"run/{name}", value, epoch)
        elif quantity in ("loss", "accuracy"):
            writer.add_scalar(f"{quantity}/{part}", value, epoch)
    examples = watched[torch.linspace(0, len(watched) - 1, min(EXAMPLES, len(watched))).long()]
    writer.add_images("examples", examples.images, epoch)
    writer.add_text("examples", answers(network, examples), epoch)
    writer.flush()


@torch.no_grad()
def answers(network: Network, examples: Split) -> str:
    """What the network says of each image, and what is right, as a table in Markdown."""
    training = network.training
    confidence, said = network.eval().probabilities(network(network.normalize(examples.images))).max(1)
    network.train(training)
    names = [markdown(name) for name in examples.class_names]
    rows = [f"| {number} | {names[label]} | {names[answer]} | {share:.0%} |" for number, (label, answer, share) in
            enumerate(zip(examples.labels.tolist(), said.tolist(), confidence.tolist(), strict=True), 1)]
    return "\n".join(("| image | class | answer | confidence |", "| --- | --- | --- | --- |", *rows))

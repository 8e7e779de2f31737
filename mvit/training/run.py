"""A run, from its start or where an earlier one was stopped, through its epochs, to its checkpoint."""

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from mvit.data.images import Split
from mvit.documents.card import model_card
from mvit.evaluation.accuracy import calibrate, evaluate, loss_and_accuracy, predict
from mvit.evaluation.canonical import can_estimate, estimate
from mvit.evaluation.familiarity import familiarity
from mvit.explain.probes import Probes, train_probes
from mvit.inference.familiarity import Familiarity
from mvit.model import MobileViT
from mvit.networks.compared import Network
from mvit.storage.files import write_json, write_text, write_whole
from mvit.storage.formats import CanonicalEstimate, Epoch, Evaluation
from mvit.storage.records import CANONICAL
from mvit.training.earlier import begin_with, checksums, earlier_runs, load_teacher, with_architecture
from mvit.training.epoch import train_epoch
from mvit.training.learner import Learner
from mvit.training.log import log_epoch, need_tensorboard, open_log
from mvit.training.network import build_network, try_out
from mvit.training.output import checkpoint_folder, put_in_place, remove_run, run_folder, staging_folder, taken
from mvit.training.processes import Processes, prepare
from mvit.training.report import cause_outside, end_line, epoch_line, how_to_go_on, start_line
from mvit.training.settings import Settings, TrainingError
from mvit.training.splits import Splits, load_splits
from mvit.training.state import State

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


PROBED = 10_000  # images that the linear probes are fitted to, and measured on


@dataclass(frozen=True)
class Place:
    """Where a run takes place.

    Attributes:
        checkpoint: the folder that it fills at its end.
        folder: the one for its state until then.
        device: what it computes on.
        processes: this one among those that share it.
    """

    checkpoint: Path
    folder: Path
    device: torch.device
    processes: Processes


@dataclass(frozen=True)
class Run:
    """A run under way: where, what is saved of it, its images (on the device, but for the test images), and what it
    trains."""

    place: Place
    state: State
    splits: Splits
    learner: Learner


def run(settings: Settings, data: str | None, output: Path | None, device: torch.device, command: str,
        resume: bool = False, log: bool = False) -> Path:
    """Train a network from the first epoch, or from where an earlier run was stopped, to its checkpoint.

    Args:
        settings: how; with ``resume`` they must be the earlier run's.
        data: as for :func:`mvit.data.images.load_split`; with ``resume`` None means the earlier run's.
        output: the folder for the checkpoint, ``checkpoints/<recipe>`` if None: missing, empty, or with an earlier
            checkpoint, which is replaced at the end and stays until then. Other files in it stay for good. The run's
            state is in its folder ``run``, or a hidden one beside it (:func:`mvit.training.output.run_folder`).
        device: where to train.
        command: what the person typed, for the card.
        resume: go on from the state in the folder.
        log: write TensorBoard's event files, too (:mod:`mvit.training.log`).

    Returns:
        the checkpoint's folder: ``model.safetensors``, ``config.json``, ``history.json``, ``evaluation.json`` and
        the card, ``README.md``.

    Raises:
        TrainingError, DataError, OutputError: the run cannot start or go on.
    """
    checkpoint = checkpoint_folder(settings.checkpoint, output)
    folder = run_folder(checkpoint)
    if settings.teacher and Path(settings.teacher).resolve() == checkpoint:
        raise TrainingError(f"The run would replace its own teacher, {checkpoint}: give another folder by --output.")
    if settings.bfloat16 and device.type != "cpu" and not resume:  # a card goes on in its own precision
        raise TrainingError(f"bfloat16 is for training on a CPU, not on {device.type}.")
    if log:
        need_tensorboard()
    prepare(device)
    processes = Processes.join(device)
    place = Place(checkpoint, folder, device, processes)
    with taken(checkpoint, folder) if processes.first else nullcontext():
        try:
            carry_out(go_on(place, data) if resume else start(place, settings, data, command), log)
            processes.leave()
        except (OSError, RuntimeError) as error:
            cause = cause_outside(error)
            if not cause:
                raise
            raise TrainingError(f"The run stopped: {cause}. {how_to_go_on(folder)}") from error
    return checkpoint


def carry_out(begun: Run, log: bool) -> None:
    """The epochs that are left, and the checkpoint. Nobody else holds the run: it is gone when this returns."""
    first = begun.place.processes.first
    train_epochs(begun, open_log(begun.place.checkpoint, begun.state.begun) if log and first else None)
    finish(begun)


def start(place: Place, settings: Settings, data: str | None, command: str) -> Run:
    """A run before its first epoch.

    Raises:
        TrainingError, DataError: there is one already, or nothing can be trained by these settings.
    """
    if State.saved(place.folder):
        done = len(State.load(place.folder).history)
        raise TrainingError(f"An unfinished run of {done} epochs is in {place.folder}: continue it with --resume, "
                            "or delete that folder to start anew.")
    settings = replace(settings, processes=place.processes.world_size)
    if settings.weights:
        settings = with_architecture(settings)
    splits = load_splits(data, settings, place.processes)
    settings = replace(settings, validation=settings.validation and len(splits.watched))  # as many as there were
    network = build_network(settings, splits.train)
    before = begin_with(network, settings, splits.train, splits.watched) if settings.weights else []
    try_out(network, splits.train, settings)
    teacher, taught_by = find_teacher(network, settings, splits)
    state = State(settings, data, command, splits.train.fingerprint(), splits.watched.fingerprint(), taught_by, before,
                  earlier_runs(settings))
    return under_way(place, state, splits, network, teacher)


def go_on(place: Place, data: str | None) -> Run:
    """A run after the last epoch that an earlier one finished.

    Raises:
        TrainingError, DataError: there is none, or it would not be the same run.
    """
    state = State.load(place.folder)
    settings, world_size = state.settings, place.processes.world_size
    if settings.processes != world_size:
        raise TrainingError(f"The run in {place.folder} began with {settings.processes} process(es), not "
                            f"{world_size}: go on with torchrun --nproc-per-node={settings.processes}.")
    if data is not None:
        state.data = data
    splits = load_splits(state.data, settings, place.processes)
    for kind, fingerprint, split in (("training", state.fingerprint, splits.train),
                                     ("held-out" if settings.validation else "test", state.watched, splits.watched)):
        if fingerprint != split.fingerprint():
            raise TrainingError(f"The run in {place.folder} began with other {kind} images than those in {state.data}.")
    network = build_network(settings, splits.train)
    teacher, taught_by = find_teacher(network, settings, splits)
    if state.taught_by != taught_by:
        raise TrainingError(f"The run in {place.folder} began with another teacher than what is in {settings.teacher} "
                            "now.")
    begun = under_way(place, state, splits, network, teacher)
    begun.learner.load_state_dict(state.learnt)
    return begun


def find_teacher(network: Network, settings: Settings, splits: Splits) -> tuple[MobileViT | None, list[int] | None]:
    """The teacher and the checksums of its files; None if the settings name none."""
    if not settings.teacher:
        return None, None
    return load_teacher(network, settings, splits.train, splits.watched), checksums(Path(settings.teacher))


def under_way(place: Place, state: State, splits: Splits, network: Network, teacher: MobileViT | None) -> Run:
    """All of a run on its device."""
    if teacher:
        teacher = teacher.to(place.device)
    learner = Learner(network, state.settings, place.device, place.processes, teacher)
    on_device = replace(splits, train=splits.train.to(place.device), watched=splits.watched.to(place.device))
    return Run(place, state, on_device, learner)


def train_epochs(run: Run, writer: "SummaryWriter | None") -> None:
    """The epochs that are left, each followed by saving the run's state.

    Raises:
        TrainingError: the loss is no number.
    """
    state, splits, epochs = run.state, run.splits, run.state.settings.epochs
    if run.place.processes.first:
        save_state(run)
        print(start_line(splits.train, splits.watched, run.place.device, run.place.processes.world_size,
                         state.settings), flush=True)
    for epoch in range(len(state.history), epochs):
        state.history.append(one_epoch(run, epoch))
        if run.place.processes.first:
            print(epoch_line(state.history, epochs, state.settings.watched), flush=True)
            save_state(run)
            if writer:
                log_epoch(writer, state.history[-1], run.learner.shipped, splits.watched)


def save_state(run: Run) -> None:
    """So that it can go on from here."""
    run.state.learnt = run.learner.state_dict()
    run.state.save(run.place.folder)


def one_epoch(run: Run, epoch: int) -> Epoch:
    """Train for an epoch, counted from 0, and measure the result on the watched images.

    Returns:
        the epoch's record in the history.

    Raises:
        TrainingError: a loss is no number.
    """
    settings, learner, processes, train = run.state.settings, run.learner, run.place.processes, run.splits.train
    begin = time.perf_counter()
    learner.step.freeze_body(epoch < settings.freeze_epochs)
    train_loss, train_accuracy = train_epoch(learner.step, learner.averaged, train, settings, epoch, processes)
    trained = time.perf_counter()
    processes.average_statistics(learner.network)
    if learner.averaged:
        processes.average_statistics(learner.shipped)
    watched = run.splits.watched
    watched_loss, watched_accuracy = loss_and_accuracy(predict(learner.shipped, watched), watched.labels)
    for name, loss in (("training", train_loss), (settings.watched, watched_loss)):
        if not math.isfinite(loss):  # it would not be otherwise on --resume
            raise TrainingError(f"The {name} loss is {loss} in epoch {epoch + 1}: delete {run.place.folder} and try a "
                                "lower learning rate (--lr).")
    return {
        "epoch": epoch + 1,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        f"{settings.watched}_loss": watched_loss,
        f"{settings.watched}_accuracy": watched_accuracy,
        "learning_rate": learner.optimizers[0].param_groups[-1]["lr"],
        "device": run.place.device.type,
        "seconds": time.perf_counter() - begin,
        "images_per_second": len(train) / (trained - begin),
    }


def finish(run: Run) -> None:
    """Make the checkpoint, put it in its place, and remove the run's state.

    Raises:
        TrainingError: something failed; the weights are kept.
    """
    place, network, splits, settings = run.place, run.learner.shipped, run.splits, run.state.settings
    staged = staging_folder(place.folder)
    try:
        if place.processes.first:
            save_checkpoint(network, staged)  # first: they are there whatever goes wrong
        if settings.validation:
            network.config = calibrate(network, splits.watched)
        evaluations = {settings.watched: evaluate(network, splits.watched)}
        if splits.test:
            evaluations["test"] = evaluate(network, splits.test.to(place.device))
        canonical = (estimate(network, splits.watched, evaluations["test"])  # by all processes, as the evaluations are
                     if can_estimate(splits.watched, evaluations.get("test")) else None)
        if place.processes.first:
            save_checkpoint(network, staged)
            write_about(run, network, evaluations, canonical, staged)
            put_in_place(staged, place.checkpoint, place.folder)
            remove_run(place.folder)  # last: until then --resume finishes what is left
            print(end_line(place.checkpoint, run.state.data, settings))
    except Exception as error:
        raise TrainingError(f"All epochs are done, but not the checkpoint: {cause_outside(error) or repr(error)}. "
                            f"{how_to_go_on(place.folder)}") from error


def write_about(run: Run, network: Network, evaluations: dict[str, Evaluation], canonical: CanonicalEstimate | None,
                folder: Path) -> None:
    """What stands beside the weights: the records, what the page shows of our network, the card."""
    splits, records = run.splits, run.state.records(evaluations, len(run.splits.train))
    records.write(folder)
    if canonical:
        write_json(folder / CANONICAL, canonical)
    if isinstance(network, MobileViT):
        make_probes(network.eval(), splits.train, splits.test or splits.watched).save(folder)
        make_familiarity(network, splits).save(folder)
    write_text(folder / "README.md", model_card(network, records, splits.train.name, run.place.device,
                                                run.place.checkpoint, folder))


def make_probes(network: MobileViT, train: Split, test: Split) -> Probes:
    """The page's linear probes, of at most so many images drawn at random that they take some seconds."""
    return train_probes(network, train.some(PROBED), test.some(PROBED).to(train.labels.device))


def make_familiarity(network: MobileViT, splits: Splits) -> Familiarity:
    """What the page calls unusual. Images that were held out are counted where no others were left alone."""
    held_out, test = (splits.watched, splits.test) if splits.test else (None, splits.watched)
    return familiarity(network, splits.train, held_out, test.some(PROBED).to(splits.train.labels.device))


def save_checkpoint(network: Network, folder: Path) -> None:
    """Write a network's weights and configuration; ours is what :meth:`MobileViT.from_pretrained` reads.

    Not by ``save_pretrained``: safetensors makes a file that only its owner can read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.contiguous() for name, weight in network.state_dict().items()}
    write_whole(folder / "model.safetensors", lambda part: part.write_bytes(save(weights, {"format": "pt"})))
    write_json(folder / "config.json", asdict(network.config))

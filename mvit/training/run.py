"""Training: recipes, the loop, and what makes a run resumable.

Every random draw of an epoch (order, crops, flips, dropout) follows from the seed and the epoch's number alone. So a
run needs no more state between epochs than weights and optimizer, and one that was killed repeats the epoch it
was in and ends with the weights of a run that was not, bit for bit on a CPU.
"""

import copy
import ctypes
import io
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from mvit.data.augmentation import PADDING, crop_and_flip, rand_augment
from mvit.data.images import Split, hold_out, load_train_and_test, mean_and_std
from mvit.documents.card import model_card
from mvit.evaluation.accuracy import calibrate, evaluate, loss_and_accuracy, predict
from mvit.inference.variants import fold_batchnorm
from mvit.model import CheckpointError, MobileViT, MobileViTConfig
from mvit.storage.checkpoint import Records
from mvit.storage.files import read_json, write_json, write_text, write_whole
from mvit.training.optimizers import OPTIMIZERS, build_optimizers
from mvit.training.output import checkpoint_folder, put_in_place, remove_run, run_folder, staging_folder, taken
from mvit.training.step import Step

STATE_VERSION = 3  # of what resume.pt holds, and of the draws: a run ends as it began
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
PATIENCE = timedelta(minutes=30)  # of a process that waits for the others: the first may have CIFAR-10 to download


class TrainingError(Exception):
    """A run cannot start or go on; the message is one sentence for the person who started it."""


@dataclass(frozen=True)
class Settings:
    """All that decides how a run ends, besides the images.

    Attributes:
        recipe: the name of the set of defaults, and of the folder that the weights go to.
        epochs: passes over the training images.
        batch_size: images in a step, of all processes together.
        optimizer: "adamw", or "muon" for the matrices and AdamW for the rest.
        learning_rate: the optimizers', at its highest.
        weight_decay: the optimizers'.
        decay_all: decay biases and norms too.
        schedule: "constant", or "cosine" down to zero at the end.
        warmup_epochs: the learning rate rises linearly over these; may be a fraction.
        label_smoothing: share of the target that is spread evenly over all classes (Szegedy et al., arXiv 1512.00567).
        randaugment: how much one of RandAugment's operations changes every training image, of 30; 0: not at all.
        cutout: side in pixels of a square that is blanked in every training image; 0: none.
        ema: share that an exponential moving average of the weights keeps of itself in a step; it is what is watched
            and shipped. 0: the weights themselves.
        teacher: folder of a checkpoint to learn from (knowledge distillation; Hinton et al., arXiv 1503.02531): it
            answers for each image as the network gets it, changed at random (Beyer et al., arXiv 2106.05237). "": none.
        distillation: share of the target that is the teacher's probabilities, at its temperature; the rest is the
            label.
        weights: folder of a checkpoint whose weights the run begins with. "": random ones.
        bfloat16: compute in bfloat16 what is faster in it, on a CPU (:func:`mvit.training.step.in_bfloat16`).
        seed: of the initial weights and of every draw.
        validation: training images to hold out; the run then reports on them, sets the temperature by them, and
            leaves the test images alone.
        final_test: with images held out, read the test images after all, once, at the end.
        model: fields of MobileViTConfig that differ from their defaults.
        processes: how many share each batch; BatchNorm sees each one's part alone. Set to as many as there are.
    """

    recipe: str = "reference"
    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    decay_all: bool = True
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    randaugment: int = 0
    cutout: int = 0
    teacher: str = ""
    distillation: float = 0.0
    weights: str = ""
    bfloat16: bool = False
    seed: int = 0
    validation: int = 0
    final_test: bool = False
    model: dict | None = None
    processes: int = 1

    def __post_init__(self):
        for name, limit in (("epochs", 2**31), ("batch_size", 2**31), ("learning_rate", math.inf)):
            if not 0 < getattr(self, name) < limit:
                raise TrainingError(f"{name} must be above zero and below {limit}, not {getattr(self, name)}.")
        for name in ("weight_decay", "warmup_epochs", "randaugment", "cutout", "validation", "seed"):
            if not 0 <= getattr(self, name) < 2**31:
                raise TrainingError(f"{name} must not be negative, nor 2^31 or more: {getattr(self, name)}.")
        if self.randaugment > 30:
            raise TrainingError(f"randaugment must be 30 or less, not {self.randaugment}.")
        for name in ("label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{name} must be from 0 to below 1, not {getattr(self, name)}.")
        if not 0 <= self.distillation <= 1:
            raise TrainingError(f"distillation must be from 0 to 1, not {self.distillation}.")
        if bool(self.teacher) != bool(self.distillation):
            raise TrainingError("A teacher (--teacher) and its share of the target (--distillation) go together.")
        if not isinstance(self.model, dict | None):
            raise TrainingError("model must be an object, such as {\"stem_channels\": 24}.")
        for name, choices in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise TrainingError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)}.")


# Share of the highest learning rate, by the share of the run that is over.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}

RECIPES: dict[str, Settings] = {
    # The published one: AdamW, constant learning rate, crop and flip, twenty epochs.
    "reference": Settings(),
    # Compared in its card; but what RandAugment is worth in more than 20 epochs was not.
    "strong": Settings(
        recipe="strong", epochs=150, optimizer="muon", learning_rate=8e-3, weight_decay=0.1, decay_all=False,
        schedule="cosine", warmup_epochs=1, label_smoothing=0.1, randaugment=9, cutout=8, validation=2000,
        final_test=True,
    ),
}


def learning_rate(settings: Settings, epoch: float) -> float:
    """The learning rate when ``epoch`` passes over the images (a fraction within one) are done."""
    warmup = settings.warmup_epochs
    if epoch < warmup:
        return settings.learning_rate * epoch / warmup
    return settings.learning_rate * SCHEDULES[settings.schedule]((epoch - warmup) / max(settings.epochs - warmup, 1e-9))


# --------------------------------------------------------------------------- processes


@dataclass(frozen=True)
class Processes:
    """This process among those that torchrun started; alone without it."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        if "RANK" not in os.environ:
            return cls()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The network as it is to be called in training, so that all processes get the mean of their gradients."""
        if self.world_size == 1:
            return network
        return DistributedDataParallel(network, forward_sync_buffers=False)

    def sum(self, *values: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.world_size > 1:
            for value in values:
                dist.all_reduce(value)

    def average_statistics(self, model: nn.Module) -> None:
        """Give every process the mean of all BatchNorm statistics: each has seen only its own share of the batches."""
        if self.world_size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.world_size


def pick_device(name: str | None = None) -> torch.device:
    """The named device, else CUDA (this process's own card), else Apple's MPS, else the CPU."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainingError(f"There is no device {name} here ({str(error).splitlines()[0]}).") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of freed tensors for the next step, instead of handing it back after each.

    A feature map of a batch is tens of megabytes. By default glibc asks the kernel for each of them, and the kernel
    clears every page of it once more: more than 10,000 page faults a step, a quarter of its time.

    Returns:
        whether it will: elsewhere than with glibc nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def prepare(device: torch.device) -> None:
    """Set this process up for training: memory on a CPU; on a card products in TF32, and kernels chosen by trial."""
    keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True


# --------------------------------------------------------------------------- one epoch


def batches(count: int, batch_size: int, smallest: int, generator: torch.Generator) -> list[Tensor]:
    """Indices of all images, each once, in random order, a tensor a step.

    A last batch with fewer than ``smallest`` images (the number of processes, none of which may go without) joins
    the one before it.
    """
    steps = list(torch.randperm(count, generator=generator).split(batch_size))
    if len(steps) > 1 and len(steps[-1]) < smallest:
        steps[-2:] = [torch.cat(steps[-2:])]
    return steps


def train_epoch(step: Step, averaged: AveragedModel | None, train: Split, settings: Settings, epoch: int,
                processes: Processes) -> tuple[float, float]:
    """One pass over the training images.

    Args:
        step: takes the network one batch further.
        averaged: the moving average of its weights, brought up to date after each step; None for none.
        epoch: counted from 0.

    Returns:
        (loss, accuracy): means over the epoch as it ran, on augmented images and with the weights of the moment.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)  # on the CPU: alike on every device
    steps = batches(len(train), settings.batch_size, processes.world_size, generator)
    loss_sum = torch.zeros((), device=train.images.device)
    correct = torch.zeros((), dtype=torch.int64, device=train.images.device)
    seen = 0
    step.model.train()
    with tqdm(total=len(train), unit=" images", desc=f"epoch {epoch + 1}/{settings.epochs}", leave=False,
              disable=None if processes.first else True) as bar:
        for number, (batch, part) in enumerate(zip(steps, augmented(train, steps, settings.randaugment, generator,
                                                                    processes), strict=True)):
            rate = learning_rate(settings, epoch + number / len(steps))
            loss, right = step(*part, len(batch), rate)
            if averaged:
                averaged.update_parameters(step.network)
            loss_sum += loss
            correct += right
            seen += len(part[0])
            bar.update(len(batch))
            if number % 20 == 0 and not bar.disable:  # .item() waits for the device
                bar.set_postfix_str(f"loss {loss_sum.item() / seen:.4f}, accuracy {correct.item() / seen:.1%}")
    processes.sum(loss_sum, correct)
    return loss_sum.item() / len(train), correct.item() / len(train)


def augmented(train: Split, steps: list[Tensor], randaugment: int, generator: torch.Generator, processes: Processes,
              bytes_at_once: int = 2**25) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """This process's part of each batch: images, cropped, flipped and changed at random; labels; centres to blank.

    Args:
        steps: the indices of each batch.
        randaugment: as in the settings.
        generator: what all draws follow from; they are the same however many processes there are, but RandAugment's.
        bytes_at_once: size of the images that are made together, of some batches: faster than one by one.
    """
    device, count = train.images.device, len(train)
    offsets = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator).to(device)
    flips = (torch.rand(count, generator=generator) < 0.5).to(device)
    centres = torch.randint(0, train.images.shape[-1], (count, 2), generator=generator).to(device)
    torch.manual_seed(int(torch.randint(2**40, (), generator=generator)) + processes.rank)  # dropout, RandAugment
    at_once = max(1, bytes_at_once // (len(steps[0]) * train.images[0].numel()))  # batches
    for begin in range(0, len(steps), at_once):
        mine = [batch[processes.rank :: processes.world_size] for batch in steps[begin : begin + at_once]]
        index = torch.cat(mine).to(device)
        images = crop_and_flip(train.images[index], offsets[index], flips[index])
        if randaugment:
            images = rand_augment(images, randaugment)
        sizes = list(map(len, mine))
        yield from zip(images.split(sizes), train.labels[index].split(sizes), centres[index].split(sizes), strict=True)


# --------------------------------------------------------------------------- a run


def build_network(settings: Settings, train: Split) -> MobileViT:
    """The untrained network for these settings and images.

    Raises:
        TrainingError: the settings name a field that MobileViTConfig does not have, or a value it does not take, or
            one that these images do not.
    """
    mean, std = mean_and_std(train)
    if min(std) == 0:
        raise TrainingError(f"The images of the {train.name} are all of one colour: there is nothing to tell apart.")
    config = network_config(settings, class_names=train.class_names, mean=mean, std=std)
    if config.class_names != train.class_names:
        raise TrainingError(f"The class_names in --model are not the images' ({', '.join(train.class_names)}): leave "
                            "them out, they are the names of the folders.")
    torch.manual_seed(settings.seed)
    return MobileViT(config)


def network_config(settings: Settings, **of_images) -> MobileViTConfig:
    """What the network of these settings is built from; ``of_images`` are the fields that follow from the images.

    Raises:
        TrainingError: the settings name a field that there is not, or a value that no network can be built from.
    """
    try:
        config = MobileViTConfig(**{**of_images, **(settings.model or {})})
        with torch.device("meta"):
            MobileViT(config)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"These settings describe no MobileViT: {error}.") from error
    size = config.image_size
    if size <= PADDING:
        raise TrainingError(f"image_size must be above {PADDING}, not {size}: images are shifted by up to {PADDING} "
                            "pixels, and nothing would be left of them.")
    if settings.cutout > size:
        raise TrainingError(f"cutout must be no more than the images' side of {size} pixels, not {settings.cutout}.")
    return config


def try_out(network: MobileViT, train: Split, settings: Settings) -> None:
    """One pass through a copy of the network with the images of the smallest step: what it cannot take is said now.

    Raises:
        TrainingError: it cannot take them, or has answers that are no numbers.
    """
    smallest = min(map(len, batches(len(train), settings.batch_size, settings.processes, torch.Generator())))
    images = train.images[: min(2, smallest // settings.processes)]  # where one will do, many will
    if not len(images):
        raise TrainingError(f"{len(train)} images are too few for steps of {settings.processes} processes.")
    try:
        with torch.no_grad():
            finite = copy.deepcopy(network).train()(network.normalize(images)).isfinite().all()
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"This network cannot take a step of {len(images)} image(s) ({error}): try another "
                            "--batch-size or --model.") from error
    if not finite:
        raise TrainingError("This network's answers are no numbers before it is trained: try another --model or "
                            "other --weights.")


def load_earlier(role: str, folder: Path, network: MobileViT, alike: tuple[str, ...],
                 watched: Split | None) -> MobileViT:
    """A network of an earlier run that this one builds on.

    Args:
        role: what it is to this one, in a word.
        folder: its checkpoint.
        network: this run's.
        alike: fields of their configurations that must be equal.
        watched: the images that it must have been judged by; None: no matter.

    Raises:
        TrainingError: it is no checkpoint, is not alike, or was judged by other images.
    """
    if not folder.is_dir():  # from_pretrained would look for it on the Hub
        raise TrainingError(f"There is no folder {folder} with a {role} in it.")
    try:
        earlier = MobileViT.from_pretrained(folder)
    except CheckpointError as error:
        raise TrainingError(f"The {role}: {error}") from error
    if watched:
        its = Records.read(folder)
        if its.evaluations.get(its.watched, {}).get("split") != watched.name:  # says how many of what
            raise TrainingError(f"The {role} in {folder} did not watch the {watched.name}, as this run does.")
    for name in alike:
        ours, its = getattr(network.config, name), getattr(earlier.config, name)
        if its != ours:
            raise TrainingError(f"The {role}'s {name} is {its}, not {ours}.")
    return earlier


def load_teacher(network: MobileViT, settings: Settings, watched: Split) -> MobileViT:
    """The network that the settings name as the teacher, ready to answer.

    It gets the student's images, normalized by the student's mean and deviation; its own are near them, for the same
    classes of images.

    Raises:
        TrainingError: it will not do (:func:`load_earlier`).
    """
    teacher = load_earlier("teacher", Path(settings.teacher), network, ("class_names", "image_size"),
                           watched if settings.validation else None)
    example = torch.zeros(1, 3, teacher.config.image_size, teacher.config.image_size)
    return fold_batchnorm(teacher, example).requires_grad_(False).to(memory_format=torch.channels_last)


def begin_with(network: MobileViT, settings: Settings, watched: Split) -> list[dict]:
    """Give the network the weights that the settings name.

    Returns:
        how they came about: a record an epoch.

    Raises:
        TrainingError: they will not do (:func:`load_earlier`), or came without their history.
    """
    alike = tuple(field.name for field in fields(MobileViTConfig) if field.name not in ("temperature", "dropout"))
    earlier = load_earlier("checkpoint", Path(settings.weights), network, alike, watched)
    network.load_state_dict(earlier.state_dict())
    history = read_json(Path(settings.weights, "history.json"))
    if not isinstance(history, list) or not history:
        raise TrainingError(f"The checkpoint in {settings.weights} has no history.json of its training.")
    return history


def load_state(folder: Path) -> dict:
    """What an unfinished run in this folder left: settings, epochs done, weights, optimizer, history.

    Raises:
        TrainingError: there is none, or the file is not ours.
    """
    file = folder / "resume.pt"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        current = state["version"] == STATE_VERSION
        if current:
            state["settings"] = Settings(**state["settings"])
    except FileNotFoundError as error:
        raise TrainingError(f"There is no unfinished run in {folder}.") from error
    except Exception as error:  # torch.load fails in many ways on what it did not write
        raise TrainingError(f"{file} is damaged or not from this program.") from error
    if not current:
        raise TrainingError(f"{file} is from another version of this program: go on with that, or delete the folder.")
    return state


def run(settings: Settings, data: str | None, output: Path | None, device: torch.device, command: str,
        resume: bool = False) -> Path:
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

    Returns:
        the checkpoint's folder: ``model.safetensors``, ``config.json``, ``history.json``, ``evaluation.json`` and
        the card, ``README.md``.

    Raises:
        TrainingError, DataError, OutputError: the run cannot start or go on.
    """
    checkpoint = checkpoint_folder(settings.recipe, output)
    folder = run_folder(checkpoint)
    if settings.teacher and Path(settings.teacher).resolve() == checkpoint:
        raise TrainingError(f"The run would replace its own teacher, {checkpoint}: give another folder by --output.")
    if settings.bfloat16 and device.type != "cpu" and not resume:  # a card goes on in its own precision
        raise TrainingError(f"bfloat16 is for training on a CPU, not on {device.type}.")
    processes = Processes.join(device)
    with taken(checkpoint, folder) if processes.first else nullcontext():
        try:
            train_in(folder, checkpoint, settings, data, device, command, resume, processes)
        except (OSError, RuntimeError) as error:
            cause = cause_outside(error)
            if not cause:
                raise
            raise TrainingError(f"The run stopped: {cause}. {how_to_go_on(folder)}") from error
    return checkpoint


def train_in(folder: Path, checkpoint: Path, settings: Settings, data: str | None, device: torch.device, command: str,
             resume: bool, processes: Processes) -> None:
    """:func:`run` with the folders for its state and its checkpoint taken, in this one of its processes."""
    state = load_state(folder) if resume else None
    if not resume and (folder / "resume.pt").exists():
        done = len(load_state(folder)["history"])
        raise TrainingError(f"An unfinished run of {done} epochs is in {folder}: continue it with --resume, "
                            "or delete that folder to start anew.")
    if state and data is None:
        data = state["data"]
    if resume and settings.processes != processes.world_size:
        raise TrainingError(f"The run in {folder} began with {settings.processes} process(es), not "
                            f"{processes.world_size}: go on with torchrun --nproc-per-node={settings.processes}.")
    settings = replace(settings, processes=processes.world_size)
    prepare(device)

    train, watched, test = load_data(data, settings, processes)
    fingerprint = train.fingerprint()
    if state and state["fingerprint"] != fingerprint:
        raise TrainingError(f"The run in {folder} began with other training images than those in {data}.")
    watched_as = "validation" if settings.validation else "test"
    network = build_network(settings, train)
    before = state["before"] if state else []
    if settings.weights and not state:
        before = begin_with(network, settings, watched)
    try_out(network, train, settings)
    network = network.to(device, memory_format=torch.channels_last)
    teacher = taught_by = None
    if settings.teacher:
        teacher = load_teacher(network, settings, watched).to(device)
        taught_by = [zlib.crc32(Path(settings.teacher, name).read_bytes()) for name in ("config.json",
                                                                                      "model.safetensors")]
    if state and state["taught_by"] != taught_by:
        raise TrainingError(f"The run in {folder} began with another teacher than what is in {settings.teacher} now.")
    earlier = state["earlier"] if state else {
        path: read_json(Path(path, "run.json")) for path in (settings.teacher, settings.weights) if path}
    train, watched = train.to(device), watched.to(device)
    optimizers = build_optimizers(network, settings.optimizer, settings.learning_rate, settings.weight_decay,
                                  settings.decay_all)
    averaged = None
    if settings.ema:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema), use_buffers=True)
    parts = {"network": network, **{f"optimizer {i}": optimizer for i, optimizer in enumerate(optimizers)},
             **({"averaged": averaged} if averaged else {})}
    history = []
    if state:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        history, command = state["history"], state["command"]
    step = Step(processes.share(network), network, optimizers, teacher, settings.distillation,
                settings.label_smoothing, settings.cutout, settings.bfloat16, processes.world_size)
    shipped = averaged.module if averaged else network

    def save_state():
        state = {
            "version": STATE_VERSION, "settings": asdict(settings), "data": data, "command": command,
            "fingerprint": fingerprint, "taught_by": taught_by, "history": history,
            "before": before, "earlier": earlier,
            **{name: part.state_dict() for name, part in parts.items()},
        }
        buffer = io.BytesIO()  # torch's own errors of writing do not say that the disk is full
        torch.save(state, buffer)
        folder.mkdir(parents=True, exist_ok=True)  # it may have been deleted
        write_whole(folder / "resume.pt", lambda part: part.write_bytes(buffer.getbuffer()))
        write_json(folder / "history.json", history)

    if processes.first:
        save_state()
        print(f"{len(train):,} images for training ({train.name}), {len(watched):,} to watch ({watched.name}), "
              f"on {device}, {processes.world_size} process(es), {torch.get_num_threads()} thread(s) each", flush=True)

    for epoch in range(len(history), settings.epochs):
        begin = time.perf_counter()
        train_loss, train_accuracy = train_epoch(step, averaged, train, settings, epoch, processes)
        trained = time.perf_counter()
        processes.average_statistics(network)
        if averaged:
            processes.average_statistics(shipped)
        watched_loss, watched_accuracy = loss_and_accuracy(predict(shipped, watched), watched.labels)
        for name, loss in (("training", train_loss), (watched_as, watched_loss)):
            if not math.isfinite(loss):  # it would not be otherwise on --resume
                raise TrainingError(f"The {name} loss is {loss} in epoch {epoch + 1}: delete {folder} and try a lower "
                                    "learning rate (--lr).")
        history.append({
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            f"{watched_as}_loss": watched_loss,
            f"{watched_as}_accuracy": watched_accuracy,
            "learning_rate": optimizers[0].param_groups[0]["lr"],
            "device": device.type,
            "seconds": time.perf_counter() - begin,
            "images_per_second": len(train) / (trained - begin),
        })
        if processes.first:
            print(epoch_line(history[-1], settings.epochs, watched_as), flush=True)
            save_state()

    history = before + [{**record, "epoch": len(before) + record["epoch"]} for record in history]
    staged = staging_folder(folder)
    try:
        if processes.first:
            save_checkpoint(shipped, staged)  # first: they are there whatever goes wrong
        if settings.validation:
            shipped.config = calibrate(shipped, watched)
        evaluations = {watched_as: evaluate(shipped, watched)}
        if test:
            evaluations["test"] = evaluate(shipped, test.to(device))
        if processes.first:
            save_checkpoint(shipped, staged)
            records = Records(history, evaluations,
                              {"command": command, "settings": asdict(settings), "earlier": earlier})
            records.write(staged)
            write_text(staged / "README.md", model_card(shipped, records, train.name, device, checkpoint))
            put_in_place(staged, checkpoint, folder)
            remove_run(folder)  # last: until then --resume finishes what is left
            print(f"Checkpoint: {checkpoint}")
    except Exception as error:
        raise TrainingError(f"All epochs are done, but not the checkpoint: {cause_outside(error) or repr(error)}. "
                            f"{how_to_go_on(folder)}") from error
    if processes.world_size > 1:
        dist.barrier()
        dist.destroy_process_group()


def save_checkpoint(network: MobileViT, folder: Path) -> None:
    """Write what :meth:`MobileViT.from_pretrained` reads.

    Not by ``save_pretrained``: safetensors makes a file that only its owner can read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.contiguous() for name, weight in network.state_dict().items()}
    write_whole(folder / "model.safetensors", lambda part: part.write_bytes(save(weights, {"format": "pt"})))
    write_json(folder / "config.json", asdict(network.config))


def cause_outside(error: Exception) -> str | None:
    """What a person may mend, in words; None for an error of the program."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f", {error.filename}" if error.filename else "")
    if isinstance(error, torch.OutOfMemoryError):
        return "the memory of the device is full"
    if isinstance(error, dist.DistError) or "gloo" in str(error):  # gloo has no exception of its own
        return "another of its processes was ended, or does not answer"
    return None


def how_to_go_on(folder: Path) -> str:
    """What is left of a run that ended in an error, and what to do with it."""
    if not (folder / "resume.pt").exists():
        return "Nothing was trained yet."
    weights = staging_folder(folder) / "model.safetensors"
    kept = f"The weights are in {weights.parent}" if weights.exists() else f"What was trained is in {folder}"
    return f"{kept}; the same command with --resume goes on."


def load_data(data: str | None, settings: Settings, processes: Processes) -> tuple[Split, Split, Split | None]:
    """The images to train on, those to watch (the test split, or what is held out for validation), and those to test
    on at the end, if that is another split."""
    image_size = network_config(settings).image_size
    if not processes.first:
        dist.barrier()  # the first process downloads, the others find it done
    train, test = load_train_and_test(data, image_size)
    if processes.first and processes.world_size > 1:
        dist.barrier()
    if not settings.validation:
        return train, test, None
    try:
        train, watched = hold_out(train, settings.validation)
    except ValueError as error:
        raise TrainingError(f"--validation: {error}.") from error
    return train, watched, test if settings.final_test else None


def epoch_line(record: dict, epochs: int, watched_as: str) -> str:
    return (f"epoch {record['epoch']:3d}/{epochs}  train loss {record['train_loss']:.4f} "
            f"accuracy {record['train_accuracy']:.2%}  {watched_as} loss {record[f'{watched_as}_loss']:.4f} "
            f"accuracy {record[f'{watched_as}_accuracy']:.2%}  {record['images_per_second']:.0f} images/s  "
            f"{record['seconds']:.1f} s")

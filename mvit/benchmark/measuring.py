"""What a network costs: ``python -m mvit.benchmark``.

MobileViT-XXS and ResNet-50, at the same input, in every variant of :mod:`mvit.inference.variants`, interleaved in one
run: a round times each of them once, so that whatever else the machine is doing falls on all alike.
"""

import argparse
import contextlib
import copy
import itertools
import json
import multiprocessing
import os
import platform
import re
import resource
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mvit.inference.variants import PYTORCH_VARIANTS, VARIANTS, Forward, UnavailableError
from mvit.model import CheckpointError, MobileViT
from mvit.storage.files import CHECKPOINTS, write_json
from mvit.storage.formats import Benchmark, Measurement, Ratio

BATCH = 64

# The published figures, quoted; the accuracy of MobileViT-XXS is that on its training images after 20 epochs.
class Published(TypedDict):
    """A network's figures as they were published."""

    name: str
    fps: float
    accuracy: float
    params: float
    what: str


PUBLISHED: tuple[Published, Published] = (
    {"name": "MobileViT-XXS", "fps": 162.20, "accuracy": 0.8694, "params": 0.44e6, "what": "training accuracy"},
    {"name": "ResNet-50", "fps": 45.0, "accuracy": 0.93, "params": 23.5e6, "what": "accuracy"},
)


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, image_size: int = 32) -> int:
    """Floating-point operations of one forward pass on one picture, 2 for each multiply-accumulate.

    Counted on a copy on torch's meta device, where nothing is computed: on the CPU the counter does not see into
    fused attention. As is usual, convolutions and matrix products count, element-wise operations do not.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3, image_size, image_size, device="meta"))
    flops: int = counter.get_total_flops()
    return flops


def machine(device: torch.device) -> str:
    """What runs on this device here, in words."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{device.type}: {names[0] if names else platform.machine()}, {os.cpu_count()} cores"


# --------------------------------------------------------------------------- who is compared


@dataclass
class Contender:
    """A network in the comparison.

    Attributes:
        name: as the table and the chart have it.
        build: makes it, for ten classes and 32 x 32 inputs.
        accuracy: as a fraction, or None where the network is untrained and nobody is quoted for it.
        accuracy_source: where the accuracy is from.
    """

    name: str
    build: Callable[[], nn.Module]
    accuracy: float | None = None
    accuracy_source: str | None = None

    @cached_property
    def params(self) -> int:
        return count_parameters(self.build())

    @cached_property
    def flops(self) -> int:
        return count_flops(self.build())


def resnet50(cifar_stem: bool) -> nn.Module:
    """torchvision's ResNet-50 for ten classes; with the stem that CIFAR results are obtained with, or as it is.

    As it is, a 7 x 7 convolution of stride 2 and a pooling divide 32 pixels by four before the first block. On
    CIFAR a 3 x 3 convolution of stride 1 without pooling is usual (He et al., arXiv 1512.03385, section 4.2).
    """
    from mvit.compat import torchvision

    model: nn.Module = torchvision.models.resnet50(num_classes=10)
    if cifar_stem:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def timm_mobilevit_xxs() -> nn.Module:
    from mvit.compat import torchvision  # noqa: F401  (timm imports it too)

    try:
        import timm
    except ImportError as error:
        raise UnavailableError("timm is not installed: pip install timm") from error
    model: nn.Module = timm.create_model("mobilevit_xxs", num_classes=10)
    return model


def contenders(checkpoint: Path, against: tuple[str, ...] = ()) -> list[Contender]:
    """Ours with its own measured accuracy, the two ResNet-50, and who else is asked for.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    accuracy = source = None
    evaluation = checkpoint / "evaluation.json"
    if evaluation.exists():
        measured = json.loads(evaluation.read_text(encoding="utf-8"))
        accuracy, source = measured["accuracy"], f"measured with {checkpoint.name}: {measured['split']}"
    ours = MobileViT.from_pretrained(checkpoint)
    found = [
        Contender("MobileViT-XXS", lambda: copy.deepcopy(ours), accuracy, source),
        Contender("ResNet-50, torchvision's stem", lambda: resnet50(cifar_stem=False)),
        Contender("ResNet-50, CIFAR stem", lambda: resnet50(cifar_stem=True), PUBLISHED[1]["accuracy"],
                  "quoted: published figure"),
    ]
    if "timm" in against:
        found.append(Contender("timm mobilevit_xxs", timm_mobilevit_xxs))
    return found


# --------------------------------------------------------------------------- timing

T = TypeVar("T")


class Progress(Protocol):
    """Gives back the steps, one by one, and shows how far what is done has come."""

    def __call__(self, steps: Sequence[T], what: str, /) -> Iterable[T]: ...


def no_progress(steps: Sequence[T], what: str) -> Iterable[T]:
    return steps


@dataclass
class Entry:
    """One network in one variant with a number of threads, and its times in seconds so far."""

    contender: Contender
    variant: str
    threads: int
    single: Forward
    batch: Forward | None
    singles: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)


def prepare(contender: Contender, variant: str, batch: int, device: torch.device) -> Forward:
    """The forward pass for inputs of (batch, 3, 32, 32), warmed up."""
    torch.manual_seed(0)
    model = contender.build().eval().to(device)
    example = torch.randn(batch, 3, 32, 32, device=device)
    forward = VARIANTS[variant](model, example)
    seconds(forward, example, 3)
    return forward


def seconds(forward: Forward, x: Tensor, repeats: int) -> list[float]:
    """Times of passes, one after another; on CUDA each is waited for."""
    wait: Callable[[], None] = torch.cuda.synchronize if x.device.type == "cuda" else lambda: None
    times = []
    for _ in range(repeats):
        wait()
        begin = time.perf_counter()
        forward(x)
        wait()
        times.append(time.perf_counter() - begin)
    return times


@torch.inference_mode()
def measure(contestants: list[Contender], variants: list[str], device: torch.device, rounds: int = 15,
            repeats: int = 20, progress: Progress = no_progress, batches: bool = True) -> tuple[list[Measurement],
                                                                                                   list[str]]:
    """Time every network in every variant, interleaved.

    Args:
        contestants: who is compared.
        variants: names in :data:`mvit.inference.variants.VARIANTS`.
        device: where. On a CPU everything is measured with one thread and with as many as torch is set to use.
        rounds: how often it is each one's turn.
        repeats: pictures a turn, one at a time. A batch of 64 is timed in every third turn.
        progress: wraps what is gone through, and is told what that is, to show how far it has come.
        batches: time batches too; they take most of the time.

    Returns:
        (records, notes): a record for each network, variant and number of threads, as ``benchmark.json`` holds them
        under ``models``; and in words what could not be measured.
    """
    all_threads = torch.get_num_threads()
    entries, notes = [], []
    for contender, variant in progress(list(itertools.product(contestants, variants)), "preparing the networks"):
        for threads in sorted({1, all_threads}) if device.type == "cpu" else [all_threads]:
            torch.set_num_threads(threads)
            try:
                single = prepare(contender, variant, 1, device)
                with_batch = batches and threads == all_threads
                batch = prepare(contender, variant, BATCH, device) if with_batch else None
                entries.append(Entry(contender, variant, threads, single, batch))
            except UnavailableError as error:
                notes.append(f"{variant}: {error}")
                break
    picture, pictures = (torch.randn(count, 3, 32, 32, device=device) for count in (1, BATCH))
    for turn in progress(range(rounds), "measuring"):
        for entry in entries:
            torch.set_num_threads(entry.threads)
            seconds(entry.single, picture, 2)  # the caches still hold the network before this one
            entry.singles += seconds(entry.single, picture, repeats)
            if entry.batch is not None and turn % 3 == 0:
                entry.batches += seconds(entry.batch, pictures, 1)
    torch.set_num_threads(all_threads)
    return [record(entry, device) for entry in entries], sorted(set(notes))


def record(entry: Entry, device: torch.device) -> Measurement:
    """What is published of one network in one variant: times as medians and percentiles of all its passes."""
    percentiles = statistics.quantiles(entry.singles, n=100)
    p50, p95 = (1000 * percentiles[i - 1] for i in (50, 95))
    return {
        "name": entry.contender.name,
        "variant": entry.variant,
        "device": device.type,
        "threads": entry.threads,
        "params": entry.contender.params,
        "flops": entry.contender.flops,
        "accuracy": entry.contender.accuracy,
        "accuracy_source": entry.contender.accuracy_source,
        "fps": 1000 / p50,
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "throughput_64": BATCH / statistics.median(entry.batches) if entry.batches else None,
        "passes": len(entry.singles),
    }


def peak_memory(name: str, checkpoint: Path, device: torch.device) -> int:
    """Bytes that a network adds to a process at its highest: built, and run eagerly on one picture.

    On a CPU in a process of its own, by what the operating system says of it; on CUDA by torch's allocator.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _run_once(_builder(name, checkpoint), device)
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown_by_running_once, (name, checkpoint, device))


def _grown_by_running_once(name: str, checkpoint: Path, device: torch.device) -> int:
    build = _builder(name, checkpoint)
    with contextlib.suppress(OSError):  # Linux: forget the peak of the imports (proc(5), clear_refs)
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_rss()
    _run_once(build, device)
    return _peak_rss() - before


def _builder(name: str, checkpoint: Path) -> Callable[[], nn.Module]:
    """What builds a contender, with everything imported that any of them needs: that is not the network's memory."""
    from mvit.compat import torchvision  # noqa: F401

    with contextlib.suppress(ImportError):
        import timm  # noqa: F401
    return next(c.build for c in contenders(checkpoint, ("timm",)) if c.name == name)


def _peak_rss() -> int:
    """The most memory this process has had, in bytes."""
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else "", re.MULTILINE)
    if peak:
        return 1024 * int(peak[1])
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@torch.inference_mode()
def _run_once(build: Callable[[], nn.Module], device: torch.device) -> None:
    build().eval().to(device)(torch.zeros(1, 3, 32, 32, device=device))


# --------------------------------------------------------------------------- what comes out


def best(models: list[Measurement], name: str, among: set[str]) -> Measurement | None:
    """A network's fastest record at batch 1 among these variants."""
    mine = [m for m in models if m["name"] == name and m["variant"] in among]
    return max(mine, key=lambda m: m["fps"], default=None)


def fastest(models: list[Measurement]) -> list[Measurement]:
    """Each network's fastest record in PyTorch alone, in the networks' order, on the device that comes first."""
    models = [m for m in models if m["device"] == models[0]["device"]]
    return [r for name in dict.fromkeys(m["name"] for m in models) if (r := best(models, name, PYTORCH_VARIANTS))]


def ratios(models: list[Measurement]) -> list[Ratio]:
    """How many times the FPS of each other network ours has, each side with its own best variant of the same kind."""
    ours, *others = dict.fromkeys(m["name"] for m in models)
    kinds = {"PyTorch": PYTORCH_VARIANTS, "ONNX Runtime": {"ONNX Runtime"}}
    if any(m["variant"] == "torch.compile" for m in models):
        kinds["PyTorch without a compiler"] = PYTORCH_VARIANTS - {"torch.compile"}
    devices = dict.fromkeys(m["device"] for m in models)
    found: list[Ratio] = []
    for device, (kind, among), other in itertools.product(devices, kinds.items(), others):
        here = [m for m in models if m["device"] == device]
        mine, theirs = best(here, ours, among), best(here, other, among)
        if mine and theirs:
            found.append({"kind": kind, "device": device, "against": other, "ratio": mine["fps"] / theirs["fps"],
                          "ours": mine["variant"], "theirs": theirs["variant"]})
    return found


def as_table(result: Benchmark) -> str:
    """The result for a person to read."""
    lines = [f"{result['machine']}, torch {result['torch']}, {result['date']}", "",
             f"{'network':30} {'variant':22} {'on':4} {'threads':>7} {'M params':>8} {'MFLOPs':>8} {'accuracy':>8} "
             f"{'FPS':>8} {'p50 ms':>8} {'p95 ms':>8} {'at 64':>8} {'MB':>6}"]
    for m in result["models"]:
        accuracy = "" if m["accuracy"] is None else f"{m['accuracy']:.1%}"
        throughput = "" if m["throughput_64"] is None else f"{m['throughput_64']:.0f}"
        memory = "" if m["peak_memory"] is None else f"{m['peak_memory'] / 2**20:.0f}"
        lines.append(f"{m['name']:30} {m['variant']:22} {m['device']:4} {m['threads']:7} {m['params'] / 1e6:8.2f} "
                     f"{m['flops'] / 1e6:8.1f} {accuracy:>8} {m['fps']:8.1f} {m['latency_p50_ms']:8.2f} "
                     f"{m['latency_p95_ms']:8.2f} {throughput:>8} {memory:>6}")
    lines.append("")
    for r in result["ratios"]:
        lines.append(f"{r['kind']} on {r['device']}: {r['ratio']:.1f} x the FPS of {r['against']} "
                     f"({r['ours']} against {r['theirs']})")
    return "\n".join(lines + [f"not measured: {note}" for note in result["notes"]])


def run(checkpoint: Path, variants: list[str], devices: list[torch.device], against: tuple[str, ...] = (),
        rounds: int = 15, repeats: int = 20, progress: Progress = no_progress, quick: bool = False) -> Benchmark:
    """The whole comparison on these devices, one after the other: what ``benchmark.json`` holds.

    Quick: one picture at a time only, neither batches nor memory.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        UnavailableError: a network that is asked for is not installed, or nothing of what is asked for can be run.
    """
    contestants = contenders(checkpoint, against)
    models: list[Measurement] = []
    notes: list[str] = []
    for device in devices:
        memory = {c.name: None if quick else peak_memory(c.name, checkpoint, device) for c in contestants}
        measured, missing = measure(contestants, variants, device, rounds, repeats, progress, not quick)
        models += [{**model, "peak_memory": memory[model["name"]]} for model in measured]
        notes += missing
    if not models:
        raise UnavailableError("; ".join(dict.fromkeys(notes)))
    return {
        "machine": "; ".join(map(machine, devices)),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "batch": BATCH,
        "models": models,
        "ratios": ratios(models),
        "notes": notes,
    }


def show_progress(steps: Sequence[T], what: str) -> Iterable[T]:
    """A bar on a terminal, elsewhere a line a step that a program can read, such as "measuring 3/15"."""
    if sys.stderr.isatty():
        yield from tqdm(steps, desc=what)
        return
    for done, step in enumerate(steps):
        print(f"{what} {done}/{len(steps)}", file=sys.stderr, flush=True)
        yield step


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)  # with the processes that it has started


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.benchmark", description=__doc__.split("\n\n")[1])
    parser.add_argument("--checkpoint", type=Path, metavar="PATH", default=CHECKPOINTS / "strong",
                        help="ours (default: checkpoints/strong)")
    parser.add_argument("--against", choices=("timm",), action="append", default=[],
                        help="also measure timm's mobilevit_xxs")
    parser.add_argument("--variant", choices=VARIANTS, action="append",
                        help="only this; may be repeated (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), action="append",
                        help="only this; may be repeated (default: cpu, and cuda where there is one)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="turns each network has (default: 15)")
    parser.add_argument("--quick", action="store_true", help="one picture at a time only: no batches, no memory")
    parser.add_argument("--attended", action="store_true",
                        help="end when standard input does: with the program that started it, however that ends")
    parser.add_argument("--output", type=Path, metavar="PATH", default=CHECKPOINTS / "benchmark.json",
                        help="file to write (default: checkpoints/benchmark.json)")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not options.output.parent.is_dir():
        parser.error("--rounds is at least 1, and --output in a folder that is there")
    if options.attended:
        threading.Thread(target=_end_with_input, daemon=True).start()
    devices = options.device or ["cpu", "cuda"][: 1 + torch.cuda.is_available()]
    try:
        result = run(options.checkpoint, options.variant or list(VARIANTS), list(map(torch.device, devices)),
                     tuple(options.against), options.rounds, progress=show_progress, quick=options.quick)
    except (CheckpointError, UnavailableError, RuntimeError) as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return 2
    write_json(options.output, result)
    print(as_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

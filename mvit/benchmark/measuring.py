"""How long a network takes, and how much memory.

All networks in all variants of :mod:`mvit.inference.variants` are interleaved in one run: a round times each of them
once, so that whatever else the machine is doing falls on all alike.
"""

import contextlib
import ctypes
import itertools
import math
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from mvit.benchmark.networks import Contender, contenders
from mvit.benchmark.processes import fresh_processes
from mvit.inference.variants import VARIANTS, Forward, UnavailableError
from mvit.storage.formats import Measurement

BATCH = 64
TURN = 0.25  # seconds: what a turn of one network's single pictures takes at most
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
            repeats: int = 20, progress: Progress = no_progress, batches: bool = True,
            limit: float = math.inf) -> tuple[list[Measurement], list[str]]:
    """Time every network in every variant, interleaved.

    Args:
        contestants: who is compared.
        variants: names in :data:`mvit.inference.variants.VARIANTS`.
        device: where. On a CPU everything is measured with one thread and with as many as torch is set to use.
        rounds: how often it is each one's turn.
        repeats: pictures a turn, one at a time; fewer where they would take longer than ``TURN``, but three at least. A
            batch of 64 is timed in every third turn.
        progress: wraps what is gone through, and is told what that is, to show how far it has come.
        batches: time batches too; they take most of the time.
        limit: seconds from the beginning after which no further round begins; there is always one.

    Returns:
        (records, notes): a record for each network, variant and number of threads, as ``benchmark.json`` holds them
        under ``models``; and in words what could not be measured.
    """
    all_threads, end = torch.get_num_threads(), time.monotonic() + limit
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
        if turn and time.monotonic() > end:
            break
        for entry in entries:
            torch.set_num_threads(entry.threads)
            _, warm = seconds(entry.single, picture, 2)  # the caches still hold the network before this one
            entry.singles += seconds(entry.single, picture, min(repeats, max(3, int(TURN / warm))))
            if entry.batch is not None and turn % 3 == 0:
                entry.batches += seconds(entry.batch, pictures, 1)
    torch.set_num_threads(all_threads)
    return [record(entry, device) for entry in entries], sorted(set(notes))


def record(entry: Entry, device: torch.device) -> Measurement:
    """What is published of one network in one variant: times as medians and percentiles of all its passes."""
    percentiles = statistics.quantiles(entry.singles, n=100, method="inclusive")
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
        "accuracy_interval_95": entry.contender.interval,
        "fps": 1000 / p50,
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "throughput_64": BATCH / statistics.median(entry.batches) if entry.batches else None,
        "passes": len(entry.singles),
    }


def peak_memory(name: str, checkpoint: Path, against: tuple[str, ...], device: torch.device) -> int:
    """Bytes that a network adds to a process at its highest: built, and run eagerly on one picture.

    On a CPU in a process of its own, by what the operating system says of it; on CUDA by torch's allocator.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _run_once(_builder(name, checkpoint, against), device)
        return torch.cuda.max_memory_allocated() - before
    with fresh_processes(__name__, "mvit.compat", "torchvision", "timm").Pool(1) as pool:
        return pool.apply(_grown_by_running_once, (name, checkpoint, against, device))


def _grown_by_running_once(name: str, checkpoint: Path, against: tuple[str, ...], device: torch.device) -> int:
    build = _builder(name, checkpoint, against)
    with contextlib.suppress(AttributeError, OSError):  # glibc: hand back what was freed, and would be used again
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):  # Linux: forget the peak of the imports (proc(5), clear_refs)
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_rss()
    _run_once(build, device)
    return _peak_rss() - before


def _builder(name: str, checkpoint: Path, against: tuple[str, ...]) -> Callable[[], nn.Module]:
    """What builds a contender, with everything imported that any of them needs: that is not the network's memory."""
    from mvit.compat import torchvision  # noqa: F401

    with contextlib.suppress(ImportError):
        import timm  # noqa: F401
    return next(c.build for c in contenders(checkpoint, against) if c.name == name)


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

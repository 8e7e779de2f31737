"""``python -m mvit.benchmark``: what networks cost, MobileViT-XXS and ResNet-50 at the same input."""

import argparse
import math
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import torch
from tqdm import tqdm

from mvit.benchmark.costs import machine
from mvit.benchmark.measuring import BATCH, Progress, T, measure, no_progress, peak_memory
from mvit.benchmark.networks import contenders
from mvit.benchmark.results import as_table, ratios
from mvit.inference.variants import VARIANTS, UnavailableError
from mvit.model import CheckpointError
from mvit.storage.files import CHECKPOINTS, write_json
from mvit.storage.formats import Benchmark, Measurement

SLOW_TO_PREPARE = "torch.compile"  # each network takes up to a minute, for each number of threads and of pictures


def run(checkpoint: Path, variants: list[str], devices: list[torch.device], against: tuple[str, ...] = (),
        rounds: int = 15, repeats: int = 20, progress: Progress = no_progress, quick: bool = False,
        limit: float = math.inf) -> Benchmark:
    """The whole comparison on these devices, one after the other: what ``benchmark.json`` holds.

    Quick: one picture at a time only, neither batches nor memory. Limit: see :func:`measure`, for each device.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        UnavailableError: a network that is asked for is not installed, or nothing of what is asked for can be run.
    """
    contestants = contenders(checkpoint, against)
    models: list[Measurement] = []
    notes: list[str] = []
    for device in devices:
        memory = {c.name: None if quick else peak_memory(c.name, checkpoint, against, device) for c in contestants}
        measured, missing = measure(contestants, variants, device, rounds, repeats, progress, not quick, limit)
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
    while os.read(sys.stdin.fileno(), 4096):  # not sys.stdin.read(): Python could not end while that waits
        pass
    os.killpg(0, signal.SIGKILL)  # with the processes that it has started


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.benchmark", description="Measure what networks cost: "
                                     "MobileViT-XXS and ResNet-50 at the same input, in every variant, interleaved.")
    parser.add_argument("--checkpoint", type=Path, metavar="PATH", default=CHECKPOINTS / "strong",
                        help="ours (default: checkpoints/strong)")
    parser.add_argument("--against", metavar="NAME", action="append", default=[],
                        help="also measure this: the folder of a checkpoint, a classifier of torchvision's, such as "
                             "resnet18, or one of timm's (an extra), such as timm/mobilevit_xxs; may be repeated")
    parser.add_argument("--variant", choices=VARIANTS, action="append",
                        help=f"only this; may be repeated (default: all but {SLOW_TO_PREPARE}, which takes minutes)")
    parser.add_argument("--device", choices=("cpu", "cuda"), action="append",
                        help="only this; may be repeated (default: cpu, and cuda where there is one)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="turns each network has (default: 10)")
    parser.add_argument("--quick", action="store_true", help="one picture at a time only: no batches, no memory")
    parser.add_argument("--seconds", type=float, metavar="S", default=240,
                        help="on each device begin no further turn after S seconds (default: 240)")
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
    variants = options.variant or [name for name in VARIANTS if name != SLOW_TO_PREPARE]
    try:
        result = run(options.checkpoint, variants, list(map(torch.device, devices)),
                     tuple(options.against), options.rounds, progress=show_progress,
                     quick=options.quick, limit=options.seconds)
    except (CheckpointError, UnavailableError, RuntimeError, AssertionError) as error:
        print((str(error) or repr(error)).splitlines()[0], file=sys.stderr)
        return 2
    write_json(options.output, result)
    print(as_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

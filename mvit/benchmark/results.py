"""What comes out of a comparison: the best of each network, the ratios, the table."""

import itertools

from mvit.inference.variants import PYTORCH_VARIANTS, VARIANTS
from mvit.storage.formats import Benchmark, Measurement, Ratio


def best(models: list[Measurement], name: str, among: set[str], per_core: bool = False) -> Measurement | None:
    """A network's fastest record at batch 1 among these variants; per core: of those with one thread."""
    mine = [m for m in models if m["name"] == name and m["variant"] in among and (m["threads"] == 1 or not per_core)]
    return max(mine, key=lambda m: m["fps"], default=None)


def fastest(models: list[Measurement]) -> list[Measurement]:
    """Each network's fastest record in PyTorch alone, in the networks' order, on the device that comes first."""
    models = [m for m in models if m["device"] == models[0]["device"]]
    return [r for name in dict.fromkeys(m["name"] for m in models) if (r := best(models, name, PYTORCH_VARIANTS))]


def fps_per_core(models: list[Measurement], name: str) -> float | None:
    """A network's images per second on one core of a CPU, in PyTorch alone; None where that was not measured."""
    record = best([m for m in models if m["device"] == "cpu"], name, PYTORCH_VARIANTS, per_core=True)
    return record["fps"] if record else None


def ratios(models: list[Measurement]) -> list[Ratio]:
    """How many times the FPS of each other network ours has, each side with its own best variant of the same kind.

    On a CPU best against best with as many threads as are best for each, and on one core.
    """
    ours, *others = dict.fromkeys(m["name"] for m in models)
    kinds = {"PyTorch": PYTORCH_VARIANTS, "ONNX Runtime": {"ONNX Runtime"}, "OpenVINO": {"OpenVINO"},
             "the best of all": set(VARIANTS)}
    devices = dict.fromkeys(m["device"] for m in models)
    found: list[Ratio] = []
    for device, (kind, among), other, per_core in itertools.product(devices, kinds.items(), others, (False, True)):
        here = [m for m in models if m["device"] == device]
        mine, theirs = best(here, ours, among, per_core), best(here, other, among, per_core)
        if mine and theirs and not (per_core and device != "cpu"):
            found.append({"kind": kind, "device": device, "per_core": per_core, "against": other,
                          "ratio": mine["fps"] / theirs["fps"], "ours": mine["variant"], "theirs": theirs["variant"]})
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
        where = "one core" if r["per_core"] else r["device"]
        lines.append(f"{r['kind']} on {where}: {r['ratio']:.1f} x the FPS of {r['against']} "
                     f"({r['ours']} against {r['theirs']})")
    return "\n".join(lines + [f"not measured: {note}" for note in result["notes"]])

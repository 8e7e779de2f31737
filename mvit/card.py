"""The cards of the checkpoints, and the README's tables: written from what was measured, never by hand.

Training writes a card; ``python -m mvit.card`` brings the tables up to date, and with ``--ablation RUN ...`` takes
the runs in those folders into the table of what was tried.
"""

import argparse
import json
import platform
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCardData

from mvit.benchmark import PUBLISHED, count_flops, count_parameters, fastest, machine
from mvit.evaluate import wilson_interval
from mvit.files import CHECKPOINTS, write_json, write_text
from mvit.model import MobileViT

ROOT = Path(__file__).parent.parent


def model_card(network: MobileViT, settings, history: list[dict], evaluations: dict[str, dict], train_name: str,
               commands: list[str], device: torch.device, checkpoint: Path) -> str:
    """The text of a checkpoint's README.md, with the Hub's front matter.

    Args:
        network: the trained network.
        settings: the run's :class:`mvit.training.Settings`.
        history: a record an epoch, as in ``history.json``.
        evaluations: by split, as in ``evaluation.json``; the last is the one that counts.
        train_name: in words, what images it was trained on.
        commands: what was typed for the runs that this one builds on, in order, then for this one.
        device: what it was trained on.
        checkpoint: the folder that it goes to.
    """
    last, (*_, (split, evaluation)) = history[-1], evaluations.items()
    watched = "validation" if "validation_accuracy" in last else "test"
    size = network.config.image_size
    parameters, flops = count_parameters(network), count_flops(network, size)
    dataset = "cifar10" if "CIFAR-10" in evaluation["split"] else "imagefolder"
    jpeg = ("\nAn accuracy on JPEG copies is not one on CIFAR-10's canonical pixels: say which when you quote it."
            if "JPEG" in evaluation["split"] and dataset == "cifar10" else "")
    where = checkpoint.relative_to(ROOT) if checkpoint.is_relative_to(ROOT) else checkpoint
    data = ModelCardData(
        license="mit", library_name="pytorch", pipeline_tag="image-classification", tags=["mobilevit", "mvit"],
        model_name=f"MobileViT-XXS, recipe {settings.recipe}",
        eval_results=[EvalResult(
            task_type="image-classification", dataset_type=dataset, dataset_name=evaluation["split"],
            metric_type="accuracy", metric_value=round(evaluation["accuracy"], 4), metric_name=f"{split} accuracy",
        )],
    )
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package} {version(package)}" for package in ("torch", "torchvision", "numpy", "pillow", "safetensors"))
    accuracies = {
        f"training accuracy, epoch {last['epoch']}":
            f"{last['train_accuracy']:.2%}, running mean over the epoch's augmented batches",
        **{f"{name} accuracy, after epoch {last['epoch']}": _accuracy(e) for name, e in evaluations.items()},
    }
    split_rows = "\n".join(f"| {name} images | {e['split']} |" for name, e in evaluations.items())
    calibration = "; ".join(f"{name} images {e['calibration_error']:.2%}, without it "
                            f"{e['calibration_error_at_temperature_1']:.2%}" for name, e in evaluations.items())
    fitted = "fitted to the validation images" if "validation" in evaluations else "not fitted"
    averaged = (f"an exponential moving average over the run's steps ({settings.ema:g}), as it was after"
                if settings.ema else "those of")
    loss = "cross-entropy" + (f", labels smoothed by {settings.label_smoothing:g}" if settings.label_smoothing else "")
    operation = f"; one of RandAugment's operations, magnitude {settings.randaugment}" if settings.randaugment else ""
    cutout = f"; a square of {settings.cutout} x {settings.cutout} pixels is blanked" if settings.cutout else ""
    if settings.teacher:
        loss += f"; {100 * settings.distillation:g}% of the target is the answer of `{settings.teacher}`"
    accuracy_rows = "\n".join(f"| **{name}** | **{value}** |" for name, value in accuracies.items())
    devices = dict.fromkeys(r.get("device", "cpu") for r in history)
    elsewhere_before = "".join(f"; earlier epochs on {name}" for name in devices if name != device.type)
    before = len(history) - settings.epochs
    begun = "" if not before else (
        f"Epochs 1 to {before} are those of the run whose weights this one began with, by the command before the last; "
        "settings, loss, machine and versions here are of the rest.\n")
    rows = "\n".join(
        f"| {r['epoch']} | {r['train_loss']:.4f} | {r['train_accuracy']:.2%} | {r[f'{watched}_loss']:.4f} "
        f"| {r[f'{watched}_accuracy']:.2%} | {r['images_per_second']:.0f} | {r['seconds']:.1f} |" for r in history
    )
    settings_rows = "\n".join(
        f"| {name} | {value} |" for name, value in asdict(settings).items()
        if name != "recipe" and value not in (None, "")
    )
    stages = "\n".join(
        f"| {i} | {s.channels} | {s.dim} | {s.depth} | {s.heads} | {s.stride} |"
        for i, s in enumerate(network.config.stages, 1)
    )
    # The shipped recipe whose choices were made by comparing runs carries the comparison.
    compared = watched != "test" and checkpoint.resolve().parent == CHECKPOINTS.resolve()
    elsewhere = " but those under “What was tried”" if compared else ""
    tried = "" if not compared else f"""
## What was tried

Short runs to choose by, and those whose figures are published; accuracy is that after the last epoch.

<!-- ablation: python -m mvit.card -->
{ablation(CHECKPOINTS / "ablation.json")}<!-- /ablation -->
"""
    return f"""---
{data.to_yaml()}
---

# MobileViT-XXS, recipe "{settings.recipe}"

Written by `train.py` at the end of the run, which measured every number here{elsewhere}.

| | |
| --- | --- |
{accuracy_rows}
| parameters | {parameters:,} ({parameters / 1e6:.2f} M) |
| FLOPs | {flops:,} ({flops / 1e6:.1f} M; 2 for each multiply-accumulate, one picture) |
| training images | {train_name} |
{split_rows}
| temperature | {network.config.temperature:g}, {fitted} |
| expected calibration error | {calibration} |
| command | {", then ".join(f"`{command}`" for command in commands)} |
| date | {date.today().isoformat()} |
| machine | {machine(device)}{elsewhere_before} |
| versions | {versions} |
| time | {sum(r['seconds'] for r in history) / 60:.1f} minutes for {len(history)} epochs |

{begun}The weights are {averaged} the last epoch; none was chosen by its accuracy.{jpeg}
The network knows {len(network.config.class_names)} classes ({", ".join(network.config.class_names)}) and nothing else.

```python
from mvit import MobileViT

model = MobileViT.from_pretrained("{where}")
probabilities = model.probabilities(model(model.normalize(images)))  # images: uint8, (B, 3, {size}, {size})
```

## Settings

| setting | value |
| --- | --- |
{settings_rows}

Augmentation: random crop (4 pixels of padding) and horizontal flip{operation}{cutout}. Loss: {loss}.

| stage | channels | transformer width | layers | heads | stride |
| --- | --- | --- | --- | --- | --- |
{stages}

## History

Also in `history.json`; per-class accuracy and the confusion matrix are in `evaluation.json`.

| epoch | train loss | train accuracy | {watched} loss | {watched} accuracy | images/s | seconds |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
{tried}"""


def all_commands(run: dict | None) -> list[str]:
    """What was typed, in order, for the runs that a run builds on and for itself; from `run.json`, None if there was
    none."""
    if not run:
        return []
    before = [command for earlier in run.get("earlier", {}).values() for command in all_commands(earlier)]
    return [*dict.fromkeys(before), run["command"]]


def _accuracy(evaluation: dict) -> str:
    low, high = evaluation["accuracy_interval_95"]
    return f"{evaluation['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, {evaluation['images']:,} images)"


# --------------------------------------------------------------------------- the figures in the project's README

def figures(checkpoints: Path) -> str:
    """The README's table of accuracies: the published figures, and each checkpoint's from its own files."""
    ours, other = PUBLISHED
    rows = [
        "| | training accuracy | test accuracy | held-out training images | parameters | MFLOPs |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {ours['name']}, published (quoted) | {ours['accuracy']:.2%} (epoch 20) | | "
        f"| {ours['params'] / 1e6:.2f} M | |",
        f"| {other['name']}, published (quoted) | | {other['accuracy']:.1%} | | {other['params'] / 1e6:.1f} M | |",
    ]
    for folder in sorted(path.parent for path in checkpoints.glob("*/evaluation.json")):
        last = _read(folder / "history.json")[-1]
        evaluation = _read(folder / "evaluation.json")
        network = MobileViT.from_pretrained(folder)
        held_out = folder / "validation.json"
        rows.append(
            f"| [{folder.name}](checkpoints/{folder.name}/README.md), measured | {last['train_accuracy']:.2%} "
            f"(epoch {last['epoch']}) | {_with_split(evaluation)} "
            f"| {_with_split(_read(held_out)) if held_out.exists() else ''} "
            f"| {count_parameters(network) / 1e6:.2f} M | {count_flops(network, network.config.image_size) / 1e6:.1f} |"
        )
    return "\n".join(rows) + "\n"


def _with_split(evaluation: dict) -> str:
    low, high = evaluation["accuracy_interval_95"]
    return f"{evaluation['accuracy']:.2%} ({low:.1%} to {high:.1%}; {evaluation['split']})"


def training_speeds(folder: Path) -> str:
    """The README's lines on how fast training is, from each ``training_speed*.json``."""
    found = sorted(folder.glob("training_speed*.json"))
    return "\n".join(map(training_speed, found)) if found else "Not measured yet.\n"


def training_speed(file: Path) -> str:
    """One machine's part of them."""
    result = _read(file)
    step = ", ".join(f"{kind} {share:.0%}" for kind, share in result["step"].items())
    ways = {"usual": "the usual script: contiguous maps, plain AdamW, two workers that load PIL pictures",
            "ours": f"`train.py`, recipe {result['recipe']}{', in bfloat16' if result.get('bfloat16') else ''}",
            "ours, two processes": "the same by `torchrun --nproc-per-node=2`, the threads shared out"}
    minutes = {name: f"{m:.0f}" if m > 10 else f"{m:.1f}" for name, m in result["minutes_for_20_epochs"].items()}
    rows = "\n".join(f"| {ways[name]} | {found:,.0f} | {result['ratio'].get(name, 1):.2f} × | {minutes[name]} min |"
                     for name, found in result["images_per_second"].items())
    return ("| | images/s | | twenty epochs of CIFAR-10 |\n| --- | --- | --- | --- |\n" + rows +
            f"\n\nMeasured on {result['machine']}, {result['threads']} thread(s), torch {result['torch']}, "
            f"{result['date']}, in {result['rounds']} turns of {result['steps']} batches each. Shares of a step: "
            f"{step}.\n")


def speed(benchmark: Path) -> str:
    """The README's table of costs, from ``benchmark.json``; each network in its fastest form in PyTorch alone."""
    if not benchmark.exists():
        return "Not measured yet.\n"
    result = _read(benchmark)
    rows = ["| network | parameters | MFLOPs | FPS | p50 / p95 | fastest in PyTorch as |",
            "| --- | --- | --- | --- | --- | --- |"]
    for m in fastest(result["models"]):
        rows.append(f"| {m['name']} | {m['params'] / 1e6:.2f} M | {m['flops'] / 1e6:,.1f} | {m['fps']:.0f} "
                    f"| {m['latency_p50_ms']:.2f} / {m['latency_p95_ms']:.2f} ms | {m['variant']}, "
                    f"{m['threads']} thread(s) |")
    rows += ["", f"FPS of {result['models'][0]['name']} over that of the others, each side with its own best variant:",
             "", "| | against | ratio | variants |", "| --- | --- | --- | --- |"]
    rows += [f"| {r['kind']}, {r['device']} | {r['against']} | {r['ratio']:.1f} × | {r['ours']}; {r['theirs']} |"
             for r in result["ratios"]]
    return ("\n".join(rows) + f"\n\nMeasured on {result['machine']}, torch {result['torch']}, {result['date']}, one "
            "picture at a time, all in one run, interleaved.\n")


# --------------------------------------------------------------------------- what was tried


def collect(runs: list[Path], file: Path) -> None:
    """Take finished runs that held images out into ``ablation.json``, in the place of earlier ones of their settings.

    Raises:
        OSError, KeyError, ValueError: a folder is no such run.
    """
    known = {_same(r): r for r in _read(file)} if file.exists() else {}
    for run in runs:
        about, history, evaluation = (_read(run / f"{name}.json") for name in ("run", "history", "evaluation"))
        tested, validation = (run / "validation.json").exists(), watched_evaluation(run)
        record = {
            **about,
            "epochs_before": len(history) - about["settings"]["epochs"],
            "validation_accuracy": history[-1]["validation_accuracy"],
            "train_accuracy": history[-1]["train_accuracy"],
            "split": validation["split"],
            "device": ", then ".join(dict.fromkeys(record.get("device", "cpu") for record in history)),
            "date": validation["date"],
            "test": {name: evaluation[name] for name in ("split", "images", "accuracy")} if tested else None,
        }
        known[_same(record)] = record
    write_json(file, list(known.values()))


def watched_evaluation(run: Path) -> dict:
    """The evaluation on the images that a finished run watched: `validation.json`, or the only one there is.

    Raises:
        OSError, ValueError: there is none, or it is damaged.
    """
    held_out = run / "validation.json"
    return _read(held_out if held_out.exists() else run / "evaluation.json")


def _same(run: dict, **others) -> str:
    """Equal for runs of equal settings. What came later was off before, and off is nothing."""
    settings = {**run["settings"], "epochs_before": run.get("epochs_before"), **others}
    return json.dumps({name: value for name, value in settings.items() if value}, sort_keys=True)


def ablation(file: Path) -> str:
    """What was tried, as a table: a row for each setting, with the command of its lowest seed."""
    if not file.exists():
        return "Nothing was compared yet.\n"
    groups = defaultdict(list)
    for run in _read(file):
        groups[run["split"], _same(run, seed=None, final_test=None)].append(run)
    rows = ["| command | epochs | seeds | on | train accuracy | held out | validation accuracy | test accuracy |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    order = sorted(groups.values(), key=lambda runs: (runs[0].get("epochs_before", 0), runs[0]["settings"]["epochs"],
                                                      -_mean(runs, "validation_accuracy")))
    for runs in order:
        runs = sorted(runs, key=lambda run: run["settings"]["seed"])
        images, tests = runs[0]["settings"]["validation"], [run["test"] for run in runs if run["test"]]
        tested = (f"{_with_spread([test['accuracy'] for test in tests], tests[0]['images'])}, {tests[0]['split']}"
                  if tests else "")
        before = runs[0].get("epochs_before", 0)
        typed = ", then ".join(f"`{command}`" for command in all_commands(runs[0]))
        arithmetic = " in bfloat16" if runs[0]["settings"].get("bfloat16") else ""
        rows.append(f"| {typed} | {f'{before} + ' if before else ''}{runs[0]['settings']['epochs']} "
                    f"| {', '.join(str(run['settings']['seed']) for run in runs)} "
                    f"| {', '.join(sorted({run.get('device', 'cpu') for run in runs}))}{arithmetic} "
                    f"| {_mean(runs, 'train_accuracy'):.2%} | {images:,} "
                    f"| {_with_spread([run['validation_accuracy'] for run in runs], images)} | {tested} |")
    return "\n".join(rows) + (
        "\n\nMeans over the seeds; in brackets 95 % intervals for so many images, and how far the seeds lie apart. "
        "Choices were made by validation accuracy; a run read the test images at most once, at its end. Defaults that "
        "have changed since a run stand in its command as they were, but for `--bfloat16`.\n")


def _with_spread(accuracies: list[float], images: int) -> str:
    """The mean over seeds, the interval that one network of this accuracy has, and the seeds' standard deviation."""
    mean = statistics.mean(accuracies)
    low, high = wilson_interval(round(mean * images), images)
    apart = f"; standard deviation {100 * statistics.stdev(accuracies):.2f} points" if len(accuracies) > 1 else ""
    return f"{mean:.2%} ({low:.1%} to {high:.1%}{apart})"


def _mean(runs: list[dict], key: str) -> float:
    return statistics.mean(run[key] for run in runs)


def _read(file: Path):
    return json.loads(file.read_text(encoding="utf-8"))


# --------------------------------------------------------------------------- tables inside of texts


def with_tables(text: str, checkpoints: Path) -> str:
    """A text with those of the tables that it has a place for, as the checkpoints have them now."""
    tables = {"figures": lambda: figures(checkpoints), "speed": lambda: speed(checkpoints / "benchmark.json"),
              "training": lambda: training_speeds(checkpoints),
              "ablation": lambda: ablation(checkpoints / "ablation.json")}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: python -m mvit.card -->\n", f"<!-- /{name} -->\n"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + table() + end + rest.partition(end)[2]
    return text


def texts(root: Path) -> list[Path]:
    """The README and the cards."""
    return [root / "README.md", *sorted((root / "checkpoints").glob("*/README.md"))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.card", description="Bring the tables in the README and in "
                                     "the checkpoints' cards up to date.")
    parser.add_argument("--ablation", nargs="+", type=Path, metavar="RUN", default=[],
                        help="folders of finished runs with --validation, for the table of what was tried")
    options = parser.parse_args(arguments)
    try:
        if options.ablation:
            collect(options.ablation, CHECKPOINTS / "ablation.json")
    except (OSError, KeyError, ValueError) as error:
        print(f"This is no finished run that held images out: {error}", file=sys.stderr)
        return 2
    for file in texts(ROOT):
        write_text(file, with_tables(file.read_text(encoding="utf-8"), CHECKPOINTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The card of a checkpoint, and the README's table of figures: written from what was measured, never by hand.

Training writes the card; ``python -m mvit.card`` brings the README's table up to date.
"""

import json
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from mvit.benchmark import PUBLISHED, count_flops, count_parameters, fastest
from mvit.files import write_text
from mvit.model import MobileViT

ROOT = Path(__file__).parent.parent


def model_card(network: MobileViT, settings, history: list[dict], evaluation: dict, train_name: str, command: str,
               machine: str, checkpoint: Path) -> str:
    """The text of a checkpoint's README.md, with the Hub's front matter.

    Args:
        network: the trained network.
        settings: the run's :class:`mvit.training.Settings`.
        history: a record an epoch, as in ``history.json``.
        evaluation: as in ``evaluation.json``.
        train_name: in words, what images it was trained on.
        command: what was typed.
        machine: in words, what it was trained on.
        checkpoint: the folder that it goes to.
    """
    last, low, high = history[-1], *evaluation["accuracy_interval_95"]
    watched = "validation" if "validation_accuracy" in last else "test"
    size = network.config.image_size
    parameters, flops = count_parameters(network), count_flops(network, size)
    dataset = "cifar10" if evaluation["split"].startswith("CIFAR-10") else "imagefolder"
    jpeg = ("\nAn accuracy on JPEG copies is not one on CIFAR-10's canonical pixels: say which when you quote it."
            if "JPEG" in evaluation["split"] and dataset == "cifar10" else "")
    where = checkpoint.relative_to(ROOT) if checkpoint.is_relative_to(ROOT) else checkpoint
    data = ModelCardData(
        license="mit", library_name="pytorch", pipeline_tag="image-classification", tags=["mobilevit", "mvit"],
        model_name=f"MobileViT-XXS, recipe {settings.recipe}",
        eval_results=[EvalResult(
            task_type="image-classification", dataset_type=dataset, dataset_name=evaluation["split"],
            metric_type="accuracy", metric_value=round(evaluation["accuracy"], 4), metric_name=f"{watched} accuracy",
        )],
    )
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package} {version(package)}" for package in ("torch", "torchvision", "numpy", "pillow", "safetensors"))
    accuracies = {
        f"training accuracy, epoch {last['epoch']}":
            f"{last['train_accuracy']:.2%}, running mean over the epoch's augmented batches",
        f"{watched} accuracy, after epoch {last['epoch']}":
            f"{evaluation['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, {evaluation['images']:,} images)",
    }
    accuracy_rows = "\n".join(f"| **{name}** | **{value}** |" for name, value in accuracies.items())
    rows = "\n".join(
        f"| {r['epoch']} | {r['train_loss']:.4f} | {r['train_accuracy']:.2%} | {r[f'{watched}_loss']:.4f} "
        f"| {r[f'{watched}_accuracy']:.2%} | {r['images_per_second']:.0f} | {r['seconds']:.1f} |" for r in history
    )
    settings_rows = "\n".join(
        f"| {name} | {value} |" for name, value in asdict(settings).items() if name != "recipe" and value is not None
    )
    stages = "\n".join(
        f"| {i} | {s.channels} | {s.dim} | {s.depth} | {s.heads} | {s.stride} |"
        for i, s in enumerate(network.config.stages, 1)
    )
    return f"""---
{data.to_yaml()}
---

# MobileViT-XXS, recipe "{settings.recipe}"

Written by `train.py` at the end of the run; every number below was measured by it.

| | |
| --- | --- |
{accuracy_rows}
| parameters | {parameters:,} ({parameters / 1e6:.2f} M) |
| FLOPs | {flops:,} ({flops / 1e6:.1f} M; 2 for each multiply-accumulate, one picture) |
| training images | {train_name} |
| {watched} images | {evaluation['split']} |
| command | `{command}` |
| date | {date.today().isoformat()} |
| machine | {machine} |
| versions | {versions} |
| time | {sum(r['seconds'] for r in history) / 60:.1f} minutes for {len(history)} epochs |

The weights are those of the last epoch; none was chosen by its {watched} accuracy.{jpeg}
The network knows {len(network.config.class_names)} classes ({", ".join(network.config.class_names)}) and nothing else.

```python
from mvit import MobileViT

model = MobileViT.from_pretrained("{where}")
probabilities = model(model.normalize(images)).softmax(-1)  # images: uint8, (B, 3, {size}, {size})
```

## Settings

| setting | value |
| --- | --- |
{settings_rows}

Augmentation: random crop (4 pixels of padding) and horizontal flip. Loss: cross-entropy.

| stage | channels | transformer width | layers | heads | stride |
| --- | --- | --- | --- | --- | --- |
{stages}

## History

Also in `history.json`; per-class accuracy and the confusion matrix are in `evaluation.json`.

| epoch | train loss | train accuracy | {watched} loss | {watched} accuracy | images/s | seconds |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


# --------------------------------------------------------------------------- the figures in the project's README

def figures(checkpoints: Path) -> str:
    """The README's table of accuracies: the published figures, and each checkpoint's from its own files."""
    ours, other = PUBLISHED
    rows = [
        "| | training accuracy, epoch 20 | test accuracy | parameters | MFLOPs |",
        "| --- | --- | --- | --- | --- |",
        f"| {ours['name']}, published (quoted) | {ours['accuracy']:.2%} | | {ours['params'] / 1e6:.2f} M | |",
        f"| {other['name']}, published (quoted) | | {other['accuracy']:.1%} | {other['params'] / 1e6:.1f} M | |",
    ]
    for folder in sorted(path.parent for path in checkpoints.glob("*/evaluation.json")):
        last = json.loads((folder / "history.json").read_text(encoding="utf-8"))[-1]
        evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        network = MobileViT.from_pretrained(folder)
        low, high = evaluation["accuracy_interval_95"]
        rows.append(
            f"| [{folder.name}](checkpoints/{folder.name}/README.md), measured | {last['train_accuracy']:.2%} "
            f"(epoch {last['epoch']}) | {evaluation['accuracy']:.2%} ({low:.1%} to {high:.1%}; {evaluation['split']}) "
            f"| {count_parameters(network) / 1e6:.2f} M | {count_flops(network, network.config.image_size) / 1e6:.1f} |"
        )
    return "\n".join(rows) + "\n"


def speed(benchmark: Path) -> str:
    """The README's table of costs, from ``benchmark.json``; each network in its fastest form in PyTorch alone."""
    if not benchmark.exists():
        return "Not measured yet.\n"
    result = json.loads(benchmark.read_text(encoding="utf-8"))
    rows = ["| network | parameters | MFLOPs | FPS | p50 / p95 | fastest as |", "| --- | --- | --- | --- | --- | --- |"]
    for m in fastest(result["models"]):
        rows.append(f"| {m['name']} | {m['params'] / 1e6:.2f} M | {m['flops'] / 1e6:,.1f} | {m['fps']:.0f} "
                    f"| {m['latency_p50_ms']:.2f} / {m['latency_p95_ms']:.2f} ms | {m['variant']}, "
                    f"{m['threads']} thread(s) |")
    ratios = "; ".join(f"{r['ratio']:.1f} × that of {r['against']} ({r['kind']})" for r in result["ratios"])
    return ("\n".join(rows) + f"\n\nMeasured on {result['machine']}, torch {result['torch']}, {result['date']}, one "
            f"picture at a time, all in one run, interleaved. FPS of {result['models'][0]['name']}, each side with its "
            f"own best variant: {ratios}.\n")


def with_figures(readme: str, checkpoints: Path) -> str:
    """The README's text with its tables as the checkpoints have them now."""
    for name, text in (("figures", figures(checkpoints)), ("speed", speed(checkpoints / "benchmark.json"))):
        begin, end = f"<!-- {name}: python -m mvit.card -->\n", f"<!-- /{name} -->\n"
        before, _, rest = readme.partition(begin)
        readme = before + begin + text + end + rest.partition(end)[2]
    return readme


if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_text(readme, with_figures(readme.read_text(encoding="utf-8"), ROOT / "checkpoints"))

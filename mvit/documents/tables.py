"""The tables that stand within texts: between marks that name them, made again from what was measured."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mvit.benchmark.costs import count_flops, count_parameters
from mvit.benchmark.networks import PUBLISHED
from mvit.benchmark.results import fastest, fps_per_core
from mvit.data.images import CANONICAL, JPEG_COPY
from mvit.documents.ablation import ablation
from mvit.documents.compared import compared, yardsticks
from mvit.documents.familiarity import familiarity
from mvit.documents.finetuning import finetuning
from mvit.documents.rendering import markdown, render
from mvit.model import CheckpointError, MobileViT
from mvit.networks.sizes import SIZES
from mvit.storage.files import load_json
from mvit.storage.formats import Measurement
from mvit.storage.records import Records, find_checkpoints, read_canonical_estimate

EPOCHS = 20  # the quick recipe's


def with_tables(text: str, checkpoints: Path, folder: Path | None = None) -> str:
    """A text with those of the tables that it has a place for, as the checkpoints have them now.

    Args:
        text: that of a README.md.
        checkpoints: the folder of them all.
        folder: that which the text lies in, if it is a checkpoint's card.
    """
    tables: dict[str, Callable[[], str]] = {
        "figures": lambda: figures(checkpoints), "curve": lambda: curve(checkpoints),
        "speed": lambda: speed(checkpoints / "benchmark.json"),
        "training": lambda: training_speeds(checkpoints), "ablation": lambda: ablation(checkpoints / "ablation.json"),
        "finetuning": lambda: finetuning(checkpoints / "finetuning.json"),
        "compared": lambda: compared(checkpoints),
        "yardsticks": lambda: yardsticks(checkpoints, _sizes(checkpoints)),
        "familiarity": lambda: familiarity(folder or checkpoints),
        "canonical": lambda: render("canonical.md", estimate=read_canonical_estimate(folder or checkpoints))}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: python -m mvit.card -->\n", f"<!-- /{name} -->\n"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + table() + end + rest.partition(end)[2]
    return text


def texts(root: Path) -> list[Path]:
    """The README, what was measured, and the cards."""
    return [root / "README.md", root / "checkpoints" / "README.md", *sorted((root / "checkpoints").glob("*/README.md"))]


def figures(checkpoints: Path) -> str:
    """The README's table: the published figures, each checkpoint's from its own files, and what others cost.

    A checkpoint has the speed of that network in the benchmark which has its parameters and FLOPs.
    """
    (ours, other), costs = PUBLISHED, _costs(checkpoints)
    rows = _own(checkpoints, costs)
    sizes = {(row["parameters"], row["flops"]) for row in rows}
    others = [{**m, "estimate": None, **accuracy_by_column(m["accuracy"], m.get("accuracy_interval_95"),
                                                           (m["accuracy_source"] or "").partition(": ")[2])}
              for m in costs if (m["params"], m["flops"]) not in sizes]
    return render("figures.md", ours=ours, other=other, rows=rows, others=others)


def curve(checkpoints: Path) -> str:
    """What our network's sizes cost and reach, all by one recipe, in a sentence; nothing where there are none."""
    return render("curve.md", rows=[row for row in _sizes(checkpoints) if row["estimate"]])


def _sizes(checkpoints: Path) -> list[dict[str, Any]]:
    """A row for each of our network's sizes that was trained by the quick recipe, the smallest first."""
    rows = [row for row in _own(checkpoints, _costs(checkpoints)) if row["name"] in SIZES
            and (row["recipe"], row["last"]["epoch"]) == ("quick", EPOCHS)]
    return sorted(rows, key=lambda row: row["flops"])


def _costs(checkpoints: Path) -> list[Measurement]:
    """Of each network in the benchmark the fastest record in PyTorch."""
    benchmark = checkpoints / "benchmark.json"
    return fastest(load_json(benchmark)["models"]) if benchmark.exists() else []


def _own(checkpoints: Path, costs: list[Measurement]) -> list[dict[str, Any]]:
    """A row for each of our checkpoints that was evaluated."""
    by_size = {(m["params"], m["flops"]): m for m in reversed(costs)}
    rows = []
    for folder in find_checkpoints(checkpoints):
        records = Records.read(folder)
        try:
            network = MobileViT.from_pretrained(folder)
        except CheckpointError:  # another network's, or not there as a whole
            continue
        if not records.history or not records.evaluation:
            continue
        parameters, flops = count_parameters(network), count_flops(network, network.config.image_size)
        cost = by_size.get((parameters, flops))
        its = records.evaluation
        rows.append({"name": folder.name, "last": records.history[-1],
                     "recipe": records.run["settings"]["recipe"] if records.run else "",
                     **accuracy_by_column(its["accuracy"], its["accuracy_interval_95"], its["split"]),
                     "estimate": read_canonical_estimate(folder), "parameters": parameters, "flops": flops,
                     "fps": cost["fps"] if cost else None})
    return rows


def accuracy_by_column(accuracy: float | None, interval: Sequence[float] | None, split: str) -> dict[str, str]:
    """An accuracy with its interval in words, under ``canonical`` or, of another split, under ``elsewhere``, with that
    split's name if it is not the JPEG copy; both are empty where it was not measured here.
    """
    found = {"canonical": "", "elsewhere": ""}
    if accuracy is not None and interval:
        where = "" if split in (CANONICAL, JPEG_COPY) else f"; {markdown(split)}"
        found["canonical" if split == CANONICAL else "elsewhere"] = (
            f"{accuracy:.2%} ({interval[0]:.1%} to {interval[1]:.1%}{where})")
    return found


def speed(benchmark: Path) -> str:
    """The table of costs, from ``benchmark.json``; each network in its fastest form in PyTorch alone."""
    result = load_json(benchmark) if benchmark.exists() else None
    models = result["models"] if result else []
    return render("speed.md", result=result, rows=[(m, fps_per_core(models, m["name"])) for m in fastest(models)])


def training_speeds(folder: Path) -> str:
    """What checkpoints/README.md says of how fast training is, from each ``training_speed*.json``."""
    return render("training_speed.md", results=list(map(load_json, sorted(folder.glob("training_speed*.json")))))

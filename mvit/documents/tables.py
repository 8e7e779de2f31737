"""The tables that stand within texts: between marks that name them, made again from what was measured."""

from collections.abc import Callable
from pathlib import Path

from mvit.benchmark.costs import count_flops, count_parameters
from mvit.benchmark.networks import PUBLISHED
from mvit.benchmark.results import fastest, fps_per_core
from mvit.data.images import JPEG_COPY
from mvit.documents.ablation import ablation
from mvit.documents.compared import compared
from mvit.documents.familiarity import familiarity
from mvit.documents.finetuning import finetuning
from mvit.documents.rendering import render
from mvit.model import MobileViT
from mvit.storage.files import load_json
from mvit.storage.records import Records, read_canonical_estimate


def with_tables(text: str, checkpoints: Path, folder: Path | None = None) -> str:
    """A text with those of the tables that it has a place for, as the checkpoints have them now.

    Args:
        text: that of a README.md.
        checkpoints: the folder of them all.
        folder: that which the text lies in, if it is a checkpoint's card.
    """
    tables: dict[str, Callable[[], str]] = {
        "figures": lambda: figures(checkpoints), "speed": lambda: speed(checkpoints / "benchmark.json"),
        "training": lambda: training_speeds(checkpoints), "ablation": lambda: ablation(checkpoints / "ablation.json"),
        "finetuning": lambda: finetuning(checkpoints / "finetuning.json"),
        "compared": lambda: compared(checkpoints),
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
    ours, other = PUBLISHED
    benchmark = checkpoints / "benchmark.json"
    costs = fastest(load_json(benchmark)["models"]) if benchmark.exists() else []
    by_size = {(m["params"], m["flops"]): m for m in reversed(costs)}
    rows = []
    for folder in sorted(path.parent for path in checkpoints.glob("*/evaluation.json")):
        records, network = Records.read(folder), MobileViT.from_pretrained(folder)
        parameters, flops = count_parameters(network), count_flops(network, network.config.image_size)
        cost = by_size.get((parameters, flops))
        copy = bool(records.evaluation and records.evaluation["split"] == JPEG_COPY)
        rows.append({"name": folder.name, "last": records.history[-1], "evaluation": records.evaluation, "copy": copy,
                     "estimate": read_canonical_estimate(folder), "parameters": parameters, "flops": flops,
                     "fps": cost["fps"] if cost else None})
    sizes = {(row["parameters"], row["flops"]) for row in rows}
    others = [m for m in costs if (m["params"], m["flops"]) not in sizes]
    return render("figures.md", ours=ours, other=other, rows=rows, others=others)


def speed(benchmark: Path) -> str:
    """The table of costs, from ``benchmark.json``; each network in its fastest form in PyTorch alone."""
    result = load_json(benchmark) if benchmark.exists() else None
    models = result["models"] if result else []
    return render("speed.md", result=result, rows=[(m, fps_per_core(models, m["name"])) for m in fastest(models)])


def training_speeds(folder: Path) -> str:
    """What checkpoints/README.md says of how fast training is, from each ``training_speed*.json``."""
    return render("training_speed.md", results=list(map(load_json, sorted(folder.glob("training_speed*.json")))))

"""Other networks trained by our recipes: what they reach in as many epochs, and in as much time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvit.benchmark.costs import count_flops, count_parameters
from mvit.documents.ablation import same
from mvit.documents.rendering import render
from mvit.evaluation.accuracy import wilson_interval
from mvit.networks.registry import build
from mvit.storage.files import read_json
from mvit.storage.formats import About, Epoch, RivalSpeed
from mvit.storage.records import Records

OUR_FOLDER = "reference"
REFERENCE = {"recipe": "reference", "schedule": "constant"}  # the settings of all that are compared; early runs' too


def compared(checkpoints: Path) -> str:
    """The table, ours first, from the records of the runs and from how fast the networks are trained.

    Args:
        checkpoints: the folder of them all.
    """
    folders = [path.parent for path in sorted(checkpoints.glob("compared/*/evaluation.json"))]
    speed: RivalSpeed | None = read_json(checkpoints / "compared" / "training_speed.json")
    speeds = speed["images_per_second"] if speed else {}
    ours = Records.read(checkpoints / OUR_FOLDER)
    split = ours.evaluation["split"] if ours.evaluation else ""
    epochs, rows = len(ours.history), []
    for folder in ([checkpoints / OUR_FOLDER, *folders] if folders else []):
        name, records = folder.relative_to(checkpoints).as_posix(), Records.read(folder)
        its, settings = records.evaluation, records.run["settings"] if records.run else REFERENCE
        how = {name: settings[name] for name in REFERENCE}
        if not its or (how, records.watched, its["split"]) != (REFERENCE, "test", split):
            continue
        ratio = speeds[name] / speeds[OUR_FOLDER] if name in speeds else None
        # At the recipe's constant learning rate a run of fewer epochs is the beginning of a longer one.
        accuracy = records.history[epochs - 1]["test_accuracy"] if len(records.history) >= epochs else None
        interval = None if accuracy is None else wilson_interval(round(accuracy * its["images"]), its["images"])
        rows.append({"name": "ours" if name == OUR_FOLDER else Path(name).name, "epochs": len(records.history),
                     "accuracy": accuracy, "interval": interval, "speed": speeds.get(name), "ratio": ratio,
                     "then": _after(records.history, epochs * ratio) if ratio else ""})
    return render("compared_networks.md", rows=rows, epochs=epochs, speed=speed, split=split)


def yardsticks(checkpoints: Path, sizes: Sequence[Mapping[str, Any]]) -> str:
    """The table of other networks trained as our network's sizes are: in all but what is trained by the same settings.

    Args:
        checkpoints: the folder of them all.
        sizes: a row for each of ours: its name, parameters, FLOPs.
    """
    ours = [{**size, "records": Records.read(checkpoints / size["name"])} for size in sizes]
    rows, how = [], {_but_the_network(row["records"]) for row in ours}
    for folder in sorted(checkpoints.glob("compared/*")):
        records = Records.read(folder)
        if not records.run or _but_the_network(records) not in how:
            continue
        network = build(records.run["settings"]["network"], stem=records.run["settings"]["stem"])
        rows.append({"name": folder.name, "records": records, "parameters": count_parameters(network),
                     "flops": count_flops(network)})
    return render("yardsticks.md", rows=[*ours, *rows] if rows else [])


def _but_the_network(records: Records) -> tuple[str, ...]:
    """Equal for runs on the same images whose settings are, but for which network it was and what it was computed in.
    """
    run = records.run or About(command="", settings={})
    return (same(run, network=None, stem=None, model=None, bfloat16=None, processes=None),
            *(its["split"] for its in records.evaluations.values()))


def _after(history: list[Epoch], epochs: float) -> str:
    """How accurate a network was when so many epochs were done."""
    done = min(int(epochs + 1e-9), len(history))
    if not done:
        return "not yet an epoch"
    more = " and has time left" if epochs >= len(history) + 1 else ""
    return f"{history[done - 1]['test_accuracy']:.2%} (epoch {done}){more}"

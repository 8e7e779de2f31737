"""What was tried: finished runs that held images out, collected into one table."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvit.documents.rendering import render
from mvit.evaluation.accuracy import wilson_interval
from mvit.storage.files import load_json, write_json
from mvit.storage.formats import About
from mvit.storage.records import Records, commands_of

Trial = dict[str, Any]  # a run as ``ablation.json`` has it; which keys there are depends on when it was made


def collect(runs: list[Path], file: Path) -> None:
    """Take finished runs that held images out into ``ablation.json``, in the place of earlier ones of their settings.

    Raises:
        ValueError: a folder holds no such run.
    """
    tried: list[Trial] = load_json(file) if file.exists() else []
    known = {same(run): run for run in tried}
    for folder in runs:
        records = Records.read(folder)
        if not records.run or not records.evaluations or records.watched != "validation":
            raise ValueError(folder)
        last, validation = records.history[-1], records.evaluations["validation"]
        test = records.evaluations.get("test")
        run = {
            **records.run,
            "epochs_before": records.epochs_before,
            "validation_accuracy": last["validation_accuracy"],
            "train_accuracy": last["train_accuracy"],
            "split": validation["split"],
            "device": ", then ".join(records.devices),
            "date": validation["date"],
            "test": {name: test[name] for name in ("split", "images", "accuracy")} if test else None,
        }
        known[same(run)] = run
    write_json(file, list(known.values()))


def ablation(file: Path) -> str:
    """The table of what was tried: a row for each setting, with the command of its lowest seed."""
    groups = defaultdict(list)
    tried: list[Trial] = load_json(file) if file.exists() else []
    for run in tried:
        groups[run["split"], same(run, seed=None, final_test=None)].append(run)
    rows = [_row(sorted(runs, key=lambda run: run["settings"]["seed"])) for runs in groups.values()]
    rows.sort(key=lambda row: (row["epochs_before"], row["epochs"], -row["validation"]["mean"]))
    return render("ablation.md", rows=rows)


def _row(runs: list[Trial]) -> dict[str, Any]:
    """Runs that differ in their seed alone, as the table has them."""
    first, tests = runs[0], [run["test"] for run in runs if run["test"]]
    settings = first["settings"]
    return {
        "commands": commands_of(About(command=first["command"], settings=settings, earlier=first.get("earlier", {}))),
        "epochs_before": first.get("epochs_before", 0),
        "epochs": settings["epochs"],
        "seeds": [run["settings"]["seed"] for run in runs],
        "devices": sorted({run.get("device", "cpu") for run in runs}),
        "bfloat16": settings.get("bfloat16"),
        "train_accuracy": statistics.mean(run["train_accuracy"] for run in runs),
        "held_out": first["split"].partition(" held out")[0],  # how many, and of which pixels
        "validation": _spread([run["validation_accuracy"] for run in runs], settings["validation"]),
        "test": _spread([test["accuracy"] for test in tests], tests[0]["images"]) if tests else None,
        "test_split": tests[0]["split"] if tests else None,
    }


def _spread(accuracies: list[float], images: int) -> dict[str, float | None]:
    """The mean over seeds, the 95 % interval that one network of this accuracy has, the seeds' standard deviation."""
    mean = statistics.mean(accuracies)
    low, high = wilson_interval(round(mean * images), images)
    return {"mean": mean, "low": low, "high": high,
            "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None}


def same(run: Mapping[str, Any], **others: None) -> str:
    """Equal for runs of equal settings. What came later was off before, and off is nothing, or the whole rate."""
    settings = {**run["settings"], "epochs_before": run.get("epochs_before"), **others}
    return json.dumps({name: value for name, value in settings.items()
                       if value and (name, value) != ("body_rate", 1)}, sort_keys=True)

"""The table of what fine-tuning gains."""

import math
import statistics
from pathlib import Path
from typing import Any

from mvit.documents.rendering import render
from mvit.storage.files import load_json
from mvit.storage.formats import FineTuning

# Student's t, 97.5th percentile, by the number of observations.
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def finetuning(file: Path) -> str:
    """A row for each way to train, its mean over seeds, and its gain over the first."""
    result: FineTuning | None = load_json(file) if file.exists() else None
    return render("finetuning.md", result=result, trials=_rows(result) if result else [])


def _rows(result: FineTuning) -> list[dict[str, Any]]:
    first = result["trials"][0]["accuracies"]
    rows = []
    for trial in result["trials"]:
        gains = [ours - its for ours, its in zip(trial["accuracies"], first, strict=True)]
        rows.append({**trial, "mean": statistics.mean(trial["accuracies"]),
                     "deviation": statistics.stdev(trial["accuracies"]),
                     "gain": _interval(gains) if any(gains) else None})
    return rows


def _interval(gains: list[float]) -> dict[str, float]:
    mean, half = statistics.mean(gains), T[len(gains)] * statistics.stdev(gains) / math.sqrt(len(gains))
    return {"mean": mean, "low": mean - half, "high": mean + half}

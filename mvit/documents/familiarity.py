"""What a checkpoint takes for unusual, and how well that tells pictures of none of its classes."""

import statistics
from pathlib import Path

from mvit.documents.rendering import render
from mvit.inference.familiarity import RECORD
from mvit.storage.files import read_json
from mvit.storage.formats import FamiliarityRecord, Told


def familiarity(folder: Path) -> str:
    """The part of a card, from the checkpoint's ``familiarity.json``."""
    record: FamiliarityRecord | None = read_json(folder / RECORD)
    if not record:
        return "Not measured yet: `python -m mvit.familiarity CHECKPOINT --data PATH` does it.\n"
    told = record["told"]
    halves = [("chosen by", [row for row in told if row["chosen_by"]]),
              ("reported", [row for row in told if not row["chosen_by"]])]
    return render("familiarity.md", record=record, scores=list(told[0]["auroc"]) if told else [],
                  halves=[(name, rows, _means(rows)) for name, rows in halves if rows],
                  networks=sorted({row["network"] for row in told} - {""}))


def _means(rows: list[Told]) -> dict[str, float]:
    """By score its mean AUROC over sets of pictures, each counted once."""
    return {score: statistics.mean(row["auroc"][score][0] for row in rows) for score in rows[0]["auroc"]}

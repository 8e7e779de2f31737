"""A checkpoint's records: what a run leaves beside the weights, and what follows from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvit.storage.files import CHECKPOINTS, read_json, write_json
from mvit.storage.formats import About, CanonicalEstimate, Costs, Epoch, Evaluation

INTERVENTIONS = "interventions.json"
CANONICAL = "canonical.json"


def _is_history(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(record, dict) for record in content)


def _is_evaluation(content: object) -> bool:
    return (isinstance(content, dict) and isinstance(content.get("split"), str)
            and isinstance(content.get("accuracy"), int | float) and isinstance(content.get("images"), int))


def _is_run(content: object) -> bool:
    return (isinstance(content, dict) and isinstance(content.get("command"), str)
            and isinstance(content.get("settings"), dict) and isinstance(content["settings"].get("epochs"), int))


def _is_cost(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    interval = content.get("change_interval_95")
    return (isinstance(content.get("change"), int | float) and isinstance(interval, list) and len(interval) == 2
            and all(isinstance(end, int | float) for end in interval))


def _is_costs(content: object) -> bool:
    return (_is_evaluation(content) and isinstance(content, dict) and _is_cost(content.get("uniform_everywhere"))
            and all(isinstance(content.get(kind), list) and all(map(_is_cost, content[kind]))
                    for kind in ("uniform", "muted", "covered")))


# What each file must be at least, since people put files there.
SHAPES = {"history": _is_history, "evaluation": _is_evaluation, "validation": _is_evaluation, "run": _is_run}


@dataclass(frozen=True)
class Records:
    """What is known of how a checkpoint's weights came about and how good they are.

    On disk each part is a JSON file beside ``model.safetensors``: ``history.json``, ``evaluation.json`` (the one that
    counts: of the test images, if they were read), ``validation.json`` (of the held-out images, if that is another
    one), ``run.json``.

    Attributes:
        history: a record an epoch; those of the run whose weights this one began with come first.
        evaluations: by split, "validation" or "test" or both in this order, as
            :func:`mvit.evaluation.accuracy.evaluate` makes them; the last is the one that counts.
        run: what was typed ("command"), the settings, and the same of the runs that this one builds on ("earlier", by
            folder); None for weights that came without it.
    """

    history: list[Epoch] = field(default_factory=list)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    run: About | None = None

    @classmethod
    def read(cls, folder: Path) -> "Records":
        """The records in a checkpoint's folder; one that is missing, damaged or of another shape is not there."""
        history, evaluation, validation, run = (
            content if fits(content) else None
            for fits, content in ((fits, read_json(folder / f"{name}.json")) for name, fits in SHAPES.items()))
        history = history or []
        last = {"test" if validation else _watched(history): evaluation} if evaluation else {}
        return cls(history, {**({"validation": validation} if validation else {}), **last}, run)

    @property
    def reading(self) -> dict[str, Any]:
        """How the run read its pictures, for :func:`mvit.data.images.load_split`: a test split that was made is the
        same again."""
        settings = self.run["settings"] if self.run else {}
        return {name: settings[name] for name in ("test_share", "skip_damaged") if name in settings}

    @property
    def fingerprint(self) -> int | None:
        """Of the training images (:meth:`mvit.data.images.Split.fingerprint`); early records have none."""
        return self.run.get("fingerprint") if self.run else None

    def write(self, folder: Path) -> None:
        """Write each part that there is into a folder."""
        *others, counts = self.evaluations
        files = {"history": self.history, "evaluation": self.evaluations[counts],
                 **{name: self.evaluations[name] for name in others}, "run": self.run}
        for name, content in files.items():
            if content is not None:
                write_json(folder / f"{name}.json", content)

    @property
    def watched(self) -> str:
        """The split that each epoch was measured on: "validation" where images were held out, else "test"."""
        return _watched(self.history)

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that counts."""
        return next(reversed(self.evaluations.values()), None)

    @property
    def epochs_before(self) -> int:
        """How many of the epochs belong to the run whose weights this one began with."""
        return len(self.history) - self.run["settings"]["epochs"] if self.run and self.history else 0

    @property
    def devices(self) -> list[str]:
        """The kinds of device that the epochs ran on, in order, each once; early records do not name theirs."""
        return list(dict.fromkeys(record.get("device", "cpu") for record in self.history))

    @property
    def commands(self) -> list[str]:
        """What was typed, in order, for the runs that this one builds on and for itself."""
        return commands_of(self.run)


def find_checkpoints(folder: Path = CHECKPOINTS) -> list[Path]:
    """The checkpoints in a folder, the one that the page begins with first; hidden folders are unfinished runs."""
    found = [config.parent for config in folder.glob("*/config.json") if not config.parent.name.startswith(".")]
    return sorted(found, key=lambda path: (path.name != "strong", path.name != "reference", path.name))


def _watched(history: list[Epoch]) -> str:
    return "validation" if history and "validation_accuracy" in history[-1] else "test"


def commands_of(run: About | None) -> list[str]:
    """What was typed for a run, as ``run.json`` has it, after what was typed for those that it builds on."""
    if not run:
        return []
    before = [command for earlier in run.get("earlier", {}).values() for command in commands_of(earlier)]
    return [*dict.fromkeys(before), run["command"]]


def _is_estimate(content: object) -> bool:
    return (isinstance(content, dict) and isinstance(content.get("accuracy"), float)
            and isinstance(content.get("accuracy_interval_95"), list) and len(content["accuracy_interval_95"]) == 2
            and all(isinstance(content.get(name), float) for name in
                    ("test_accuracy", "held_out_accuracy", "held_out_accuracy_as_jpeg")))


def read_canonical_estimate(folder: Path) -> CanonicalEstimate | None:
    """A checkpoint's accuracy on canonical pixels, estimated; None where nobody did, or the file is another's."""
    content = read_json(folder / CANONICAL)
    return content if _is_estimate(content) else None


def read_costs(folder: Path) -> Costs | None:
    """What experiments with a checkpoint's network cost; None where nobody measured it, or the file is another's."""
    content = read_json(folder / INTERVENTIONS)
    return content if _is_costs(content) else None

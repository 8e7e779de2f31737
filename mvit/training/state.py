"""The state of an unfinished run: what ``resume.pt`` holds."""

import io
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from mvit.storage.files import write_json, write_whole
from mvit.storage.formats import About, Epoch, Evaluation
from mvit.storage.records import Records
from mvit.training.settings import Settings, TrainingError

STATE_VERSION = 6  # of what resume.pt holds, and of the draws: a run ends as it began


@dataclass
class State:
    """All that a run needs to go on after its last whole epoch.

    Attributes:
        settings: those that it began with.
        data: the folder of its images; None for CIFAR-10.
        command: what was typed.
        fingerprint, watched: of the training images, and of those that each epoch is measured on.
        taught_by: checksums of the teacher; None for none.
        before: the history of the weights that it began with, a record an epoch.
        earlier: what is known of the runs that it builds on (:func:`mvit.training.earlier.earlier_runs`).
        begun: when, to the microsecond: a name for its log.
        history: its own, a record an epoch.
        learnt: the learner's state.
    """

    settings: Settings
    data: str | None
    command: str
    fingerprint: int
    watched: int
    taught_by: list[int] | None
    before: list[Epoch]
    earlier: dict[str, About | None]
    begun: str = field(default_factory=lambda: datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f"))
    history: list[Epoch] = field(default_factory=list)
    learnt: dict[str, dict[str, Any]] = field(default_factory=dict)

    @staticmethod
    def saved(folder: Path) -> bool:
        """Whether there is an unfinished run in this folder."""
        return (folder / "resume.pt").exists()

    @classmethod
    def load(cls, folder: Path) -> "State":
        """What an unfinished run left in this folder.

        Raises:
            TrainingError: there is none, or the file is not ours.
        """
        file = folder / "resume.pt"
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            current = content.pop("version") == STATE_VERSION
            if current:
                known = {each.name: content.pop(each.name) for each in fields(cls) if each.name != "learnt"}
                state = cls(**{**known, "settings": Settings(**known["settings"])}, learnt=content)
        except FileNotFoundError as error:
            raise TrainingError(f"There is no unfinished run in {folder}.") from error
        except OSError as error:
            raise TrainingError(f"{file} cannot be read: {error.strerror}.") from error
        except Exception as error:  # torch.load fails in many ways on what it did not write
            raise TrainingError(f"{file} is damaged or not from this program.") from error
        if not current:
            raise TrainingError(f"{file} is from another version of this program: go on with that, or delete the "
                                "folder.")
        return state

    def save(self, folder: Path) -> None:
        """Write it, with ``history.json`` for whoever follows the run meanwhile."""
        content = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "learnt"}
        content |= {"version": STATE_VERSION, "settings": asdict(self.settings), **self.learnt}
        buffer = io.BytesIO()  # torch's own errors of writing do not say that the disk is full
        torch.save(content, buffer)
        folder.mkdir(parents=True, exist_ok=True)  # it may have been deleted
        write_whole(folder / "resume.pt", lambda part: part.write_bytes(buffer.getbuffer()))
        write_json(folder / "history.json", self.history)

    def records(self, evaluations: dict[str, Evaluation], images: int) -> Records:
        """What stays of the run beside the weights, once it is finished.

        Args:
            evaluations: by split, as :class:`mvit.storage.records.Records` has them.
            images: how many it trained on.
        """
        history = [{**record, "epoch": len(self.before) + record["epoch"]} for record in self.history]
        return Records([*self.before, *history], evaluations,
                       {"command": self.command, "settings": asdict(self.settings), "earlier": self.earlier,
                        "images": images, "fingerprint": self.fingerprint})

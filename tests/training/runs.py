"""Runs for tests: what is typed for a small one, and one that was stopped."""

import json
from dataclasses import asdict
from pathlib import Path

import train
from mvit.training import run as training
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent.parent
MODEL = json.dumps({**TINY, "stages": [asdict(stage) for stage in TINY["stages"]], "dropout": 0.2})


def arguments(folder, output, *more):
    return ["--data", str(folder), "--output", str(output), "--model", MODEL, "--batch-size", "30", "--epochs", "3",
            "--device", "cpu", "--lr", "0.01", *more]


def stop_before_the_first_epoch(monkeypatch, *options):
    """Leave an unfinished run of these options behind."""
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_epoch", stop)
        assert train.main(arguments(*options)) == 130

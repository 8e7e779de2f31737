from pathlib import Path

import pytest

import train
from tests.training.runs import arguments


@pytest.fixture(scope="session")
def finished(folder, tmp_path_factory) -> Path:
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("run") / "finished"
    assert train.main(arguments(folder, output)) == 0
    return output

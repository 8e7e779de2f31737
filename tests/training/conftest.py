from pathlib import Path

import pytest
import torch

import train
from tests.training.runs import arguments


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Networks this small gain nothing from a second, and lose much by it where another program computes, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def finished(folder, tmp_path_factory) -> Path:
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("run") / "finished"
    assert train.main(arguments(folder, output)) == 0
    return output

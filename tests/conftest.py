import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # no test waits for a network
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # workers with two threads each on two cores would wait for each other

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mvit import MobileViT, MobileViTConfig, StageConfig

CLASSES = ("blue", "green", "red")


class StandIn(torch.nn.Module):
    """For a network whose answers are known: what it is given are the images' bytes."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def normalize(self, images):
        return images.float()


# Tests of some seconds each that share nothing: one by one.
BY_THEMSELVES = ("/test_serving.py", "/test_processes.py", "/test_throughput.py")


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that two workers end together: the page's tests, which one worker takes, then
    those by themselves, then the others, small files last."""
    def turn(item) -> int:
        file = str(item.path)
        return 1 if file.endswith(BY_THEMSELVES) else 0 if "/page/" in file else 2

    in_file = Counter(item.path for item in items)
    items.sort(key=lambda item: (turn(item), -in_file[item.path] * (turn(item) == 2)))


def pytest_configure():
    gc.disable()  # what is imported stays: a fifth of the time would go into looking for garbage in it


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """For ``-n 2``: a file's tests are one worker's, and so are all that share the page's server.

    By marks of groups it could not be said: pytest-xdist 3.8 writes them where pytest 9.2 reads no more.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.endswith(BY_THEMSELVES):
                return nodeid
            return "page" if "/page/" in file else file

    config.option.loadscopereorder = False  # the order above
    return ByFile(config, log)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """An ImageFolder tree that can be learnt: noisy 32 x 32 pictures, each with one strong colour; 30 a class."""
    root = tmp_path_factory.mktemp("folder")
    generator = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for channel, name in ((2, "blue"), (1, "green"), (0, "red")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 160, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 60
                suffix = "png" if i % 3 == 0 else "jpg"
                Image.fromarray(pixels).save(root / split / name / f"{i:02d}.{suffix}")
    return root


@pytest.fixture
def tiny() -> MobileViTConfig:
    """A network with every part, in its smallest form."""
    return MobileViTConfig(**TINY, class_names=CLASSES)


@pytest.fixture
def checkpoint(tiny, tmp_path) -> Path:
    """Weights of that network."""
    MobileViT(tiny).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


TINY = {
    "stem_channels": 4,
    "stages": tuple(StageConfig(channels=8, dim=8, depth=1, heads=2) for _ in range(3)),
    "head_channels": 8,
    "expansion": 2,
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)

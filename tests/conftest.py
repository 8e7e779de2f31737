import os

os.environ["HF_HUB_OFFLINE"] = "1"  # no test waits for a network
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # workers with two threads each on two cores would wait for each other

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mvit import MobileViTConfig, StageConfig

TESTS = Path(__file__).parent
CLASSES = ("blue", "green", "red")


def pytest_collection_modifyitems(items):
    """For ``-n 2 --dist loadgroup``: what shares the page's server is one worker's, and each other file's tests."""
    for item in items:
        shared = "page" in item.path.relative_to(TESTS).parts and item.path.name != "test_serving.py"  # it has its own
        group = "page" if shared else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


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


TINY = {
    "stem_channels": 4,
    "stages": tuple(StageConfig(channels=8, dim=8, depth=1, heads=2) for _ in range(3)),
    "head_channels": 8,
    "expansion": 2,
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)

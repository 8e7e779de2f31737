"""Pictures to try the page with, drawn here in code: no download, and none of CIFAR-10's own images."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gradio.media import get_image
from PIL import Image, ImageDraw

SIZE = 256


def frog() -> Image.Image:
    picture = Image.new("RGB", (SIZE, SIZE), "green")
    ImageDraw.Draw(picture).ellipse((60, 60, 200, 200), "olive")
    return picture


def ship() -> Image.Image:
    picture = Image.new("RGB", (SIZE, SIZE), "skyblue")
    ImageDraw.Draw(picture).polygon([(20, 150), (236, 150), (200, 210), (60, 210)], "gray")
    return picture


# By the class that the shipped weights see in them; a test holds them to it.
EXAMPLES: dict[str, Callable[[], Image.Image]] = {draw.__name__: draw for draw in (frog, ship)}


@cache
def example_files() -> list[str]:
    """The drawings as PNG files, named after their class, and a photo of what is none of the ten: a tower."""
    folder = Path(tempfile.mkdtemp(prefix="mvit-examples-"))
    for name, draw in EXAMPLES.items():
        draw().save(folder / f"{name}.png")
    return [*(str(folder / f"{name}.png") for name in EXAMPLES), get_image("tower.jpg")]

"""Pictures of nothing that CIFAR-10 has, to see whether a network notices: from packages' wheels, and made here.

No download. Left out are pictures of the ten classes or near to them: cats great and small, a horse, a bus.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mvit.data.pictures import load_picture, to_network_size

MADE = 200  # pictures in a set that is made here
CUTS = 8  # of a texture: so many squares across and down
SIDE = 128  # in pixels, of what is drawn before it is shrunk

SKIMAGE = ("skimage", "data", ("astronaut.png", "camera.png", "cell.png", "clock_motion.png", "coffee.png", "coins.png",
                               "color.png", "logo.png", "moon.png", "motorcycle_left.png", "page.png", "phantom.png",
                               "retina.jpg", "rocket.jpg", "text.png"))
OTHERS = (("gradio", "media_assets/images", ("groot.jpeg", "hf-logo_transpng.png", "logo.png", "screenshot.gif",
                                             "tower.jpg")),
          ("gradio", "test_data", ("rectangles.gif",)),
          ("matplotlib", "mpl-data/sample_data", ("Minduka_Present_Blue_Pack.png", "grace_hopper.jpg", "logo2.png")),
          ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")))


@dataclass(frozen=True)
class Strangers:
    """Pictures of one kind, none of which is of a class that CIFAR-10 has.

    Attributes:
        name: in words, what they are.
        chosen_by: whether they may be looked at to choose a score; the others are for reporting alone.
        images: uint8, (N, 3, size, size).
        sources: int64, (N,): the file that each was cut from; its own number where it was made by itself.
    """

    name: str
    chosen_by: bool
    images: Tensor
    sources: Tensor


def strangers(size: int) -> list[Strangers]:
    """All the sets that can be had, as a network of this size sees them; those of packages not installed are not."""
    sets = [
        _of_files("photos and figures of scikit-image", True, [SKIMAGE], size),
        _of_files("photos and logos of gradio, matplotlib, scikit-learn", False, OTHERS, size),
        _of_textures("textures of scikit-image: bricks, grass", True, ("brick.png", "grass.png"), size),
        _of_textures("textures of scikit-image: gravel, tissue, stars", False,
                     ("gravel.png", "ihc.png", "hubble_deep_field.jpg"), size),
        _digits(size), _faces(size),
        _made("towers, drawn", True, _tower, size), _made("stick figures, drawn", False, _stick_figure, size),
        _made("noise, each pixel by itself", True, _noise, size), _made("noise, blotches", False, _blotches, size),
        _made("one colour", True, _one_colour, size), _made("text", False, _text, size),
    ]
    return [each for each in sets if each is not None]


def images_of(pictures: Iterable[Image.Image], size: int) -> Tensor:
    """RGB pictures as a network is given them: uint8, (N, 3, size, size)."""
    pixels = np.stack([np.asarray(to_network_size(picture, size)) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


# --------------------------------------------------------------------------- from packages


def _folder(package: str, inside: str) -> Path | None:
    """A folder of an installed package, found without importing it."""
    spec = find_spec(package)
    return Path(spec.origin).parent / inside if spec and spec.origin else None


def _of_files(name: str, chosen_by: bool, groups: Iterable[tuple[str, str, tuple[str, ...]]],
              size: int) -> Strangers | None:
    files = [folder / file for package, inside, names in groups if (folder := _folder(package, inside))
             for file in names]
    if not files:
        return None
    return Strangers(name, chosen_by, images_of(map(load_picture, files), size), torch.arange(len(files)))


def _of_textures(name: str, chosen_by: bool, names: tuple[str, ...], size: int) -> Strangers | None:
    """Squares cut out of textures: they are alike, so that each file counts as one source."""
    folder = _folder("skimage", "data")
    if folder is None:
        return None
    cut = []
    for file in names:
        picture = load_picture(folder / file)
        side = min(picture.size) // CUTS
        cut += [picture.crop((x * side, y * side, (x + 1) * side, (y + 1) * side))
                for y in range(CUTS) for x in range(CUTS)]
    return Strangers(name, chosen_by, images_of(cut, size), torch.arange(len(cut)) // CUTS**2)


def _digits(size: int) -> Strangers | None:
    """Handwritten digits, 8 x 8 grey levels from 0 to 16."""
    if not find_spec("sklearn"):
        return None
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:MADE] * 255 / 16).astype(np.uint8)
    return _numbered("handwritten digits of scikit-learn", True, map(Image.fromarray, grey), size)


def _faces(size: int) -> Strangers | None:
    """The half of Labeled Faces in the Wild's subset that is faces: 25 x 25 grey levels from 0 to 1."""
    folder = _folder("skimage", "data")
    if folder is None:
        return None
    grey = (255 * np.load(folder / "lfw_subset.npy")[:100]).astype(np.uint8)
    return _numbered("faces of scikit-image", False, map(Image.fromarray, grey), size)


def _numbered(name: str, chosen_by: bool, pictures: Iterable[Image.Image], size: int) -> Strangers:
    images = images_of((picture.convert("RGB") for picture in pictures), size)
    return Strangers(name, chosen_by, images, torch.arange(len(images)))


# --------------------------------------------------------------------------- made here


def _made(name: str, chosen_by: bool, draw: Callable[[np.random.Generator], Image.Image], size: int) -> Strangers:
    generator = np.random.default_rng(0)
    return _numbered(name, chosen_by, (draw(generator) for _ in range(MADE)), size)


def _noise(generator: np.random.Generator) -> Image.Image:
    return Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))


def _blotches(generator: np.random.Generator) -> Image.Image:
    """Noise of 2 to 8 pixels a side, enlarged smoothly."""
    cells = generator.integers(2, 9)
    coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    return coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _one_colour(generator: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), _colour(generator))


def _text(generator: np.random.Generator) -> Image.Image:
    """Lines of letters in some size, dark on a light page or light on a dark one."""
    ink, paper = ("black", "white") if generator.random() < 0.7 else ("white", "black")
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    font = ImageFont.load_default(int(generator.integers(10, 60)))
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz      "])
    lines = ["".join(generator.choice(letters, 24)) for _ in range(12)]
    ImageDraw.Draw(picture).multiline_text((4, 4), "\n".join(lines), ink, font)
    return picture


def _stick_figure(generator: np.random.Generator) -> Image.Image:
    """A head, a body, two arms, two legs, in one colour on another."""
    ink, paper = ("black", "white") if generator.random() < 0.5 else (_colour(generator), _colour(generator))
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    draw, width = ImageDraw.Draw(picture), int(generator.integers(2, 9))
    x, top = int(generator.integers(40, 88)), int(generator.integers(6, 24))
    head, neck, hip = int(generator.integers(8, 16)), top + 28, int(generator.integers(72, 88))
    draw.ellipse((x - head, top, x + head, top + 2 * head), outline=ink, width=width)
    lines = [((x, neck), (x, hip))]
    for side in (-1, 1):
        lines.append(((x, neck + 10), (x + side * int(generator.integers(12, 36)),
                                       neck + int(generator.integers(-10, 36)))))
        lines.append(((x, hip), (x + side * int(generator.integers(6, 30)), int(generator.integers(104, 124)))))
    for line in lines:
        draw.line(line, ink, width)
    return picture


def _tower(generator: np.random.Generator) -> Image.Image:
    """A tall building with windows and a roof, on the ground, before the sky."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(generator, 120, 256))
    draw, wall = ImageDraw.Draw(picture), _colour(generator)
    ground, width, top = generator.integers(96, 120), generator.integers(16, 40), generator.integers(24, 48)
    left = int(generator.integers(20, 108 - width))
    draw.rectangle((0, int(ground), SIDE, SIDE), _colour(generator, 40, 160))
    draw.rectangle((left, int(top), left + int(width), int(ground)), wall)
    peak = (left + int(width) // 2, int(top) - int(generator.integers(8, 22)))
    draw.polygon([(left - 3, int(top)), peak, (left + int(width) + 3, int(top))], _colour(generator))
    pane = _colour(generator)
    for y in range(int(top) + 6, int(ground) - 8, 14):
        for x in range(left + 4, left + int(width) - 5, 10):
            draw.rectangle((x, y, x + 4, y + 6), pane)
    return picture


def _colour(generator: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    red, green, blue = generator.integers(low, high, 3).tolist()
    return red, green, blue

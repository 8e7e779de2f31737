"""Pictures to try the page with, drawn here in code: no download, and none of CIFAR-10's own images."""

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from gradio.media import get_image
from PIL import Image, ImageColor, ImageDraw, ImageFilter

SIZE = 256  # in pixels, and the unit of all coordinates: x to the right, y down
FINE = 2  # painted this many times larger, then shrunk

Points = np.ndarray | Sequence[tuple[float, ...]]

# --------------------------------------------------------------------------- what the drawings share


class How(TypedDict, total=False):
    """How an outline is filled: see :meth:`Scene.shape`."""

    soft: float
    opacity: float
    fur: float
    mirror: bool


class Scene:
    """A canvas that begins as a sky: colours from top to bottom. The light comes from above."""

    def __init__(self, *sky: str) -> None:
        rows = np.linspace(0, len(sky) - 1, FINE * SIZE)
        channels = np.transpose([_rgb(colour) for colour in sky])
        column = np.stack([np.interp(rows, range(len(sky)), channel) for channel in channels], axis=-1)
        self.pixels = np.repeat(column[:, None].astype(np.float32), FINE * SIZE, axis=1)

    def texture(self, colour: str, top: float, bottom: float, cells: tuple[int, int], strength: float = 0.5,
                seed: int = 0) -> None:
        """Blotches between two heights, by cells across and down: leaves, blades of grass, waves, clouds."""
        rows = slice(round(FINE * top), round(FINE * bottom))
        height = rows.stop - rows.start
        edge = np.clip(np.minimum(np.arange(height), np.arange(height)[::-1]) / (0.1 * height + 1), 0, 1)
        amount = strength * _noise(FINE * SIZE, height, cells, seed) * edge[:, None]
        self.pixels[rows] += amount[..., None] * (_rgb(colour) - self.pixels[rows])

    def shape(self, outline: Points, colour: str, shade: str = "", smooth: bool = True, soft: float = 0.0,
              opacity: float = 1.0, fur: float = 0.0, mirror: bool = False) -> None:
        """A filled outline, from its colour above to its shade below: a smooth curve through the points, or corners.

        The edge is blurred as far as soft says, fur is the strength of a fine texture, and mirror adds its image
        on the other side of the middle.
        """
        points = np.asarray(outline, dtype=float)
        if mirror:
            self.shape((SIZE, 0) + points * (-1, 1), colour, shade, smooth, soft, opacity, fur)
        points = FINE * (_curve(points) if smooth else points)
        margin = round(3 * FINE * soft) + 3
        left, top = np.maximum(points.min(0) - margin, 0).astype(int).tolist()
        right, bottom = np.minimum(points.max(0) + margin, FINE * SIZE).astype(int).tolist()
        width, height = right - left, bottom - top
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in points - (left, top)], 255)
        inner = _blurred(mask, 0.12 * min(width, height))  # low near the edges: they turn away from the light
        below = np.minimum(np.arange(height) + height // 12, height - 1)
        dark = 0.6 * np.linspace(0, 1, height)[:, None] + 0.7 * (1 - inner[below])
        if fur:
            dark += fur * (_noise(width, height, (width // 3 + 1, height // 9 + 1), seed=7) - 0.5)
        paint = _rgb(colour) + np.clip(dark, 0, 1)[..., None] * (_rgb(shade or colour) - _rgb(colour))
        here = self.pixels[top:bottom, left:right]
        here += opacity * _blurred(mask, max(FINE * soft, 0.6))[..., None] * (paint - here)

    def oval(self, x: float, y: float, across: float, down: float, colour: str, shade: str = "",
             **how: Unpack[How]) -> None:
        """An ellipse by its centre and its half axes."""
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        self.shape(np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], -1), colour, shade, **how)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str, shade: str = "") -> None:
        """An upright rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour, shade, smooth=False)

    def stroke(self, points: Points, colour: str, shade: str = "", **how: Unpack[How]) -> None:
        """A curved line whose thickness changes, through points (x, y, thickness): a leg, a tail, a branch."""
        path = _curve(np.asarray(points, dtype=float), closed=False)
        along = np.gradient(path[:, :2], axis=0)
        across = along[:, ::-1] * (-1, 1) / np.linalg.norm(along, axis=1, keepdims=True) * path[:, 2:] / 2
        outline = np.concatenate([path[:, :2] + across, (path[:, :2] - across)[::-1]])
        self.shape(outline, colour, shade, smooth=False, **how)

    def trees(self, top: float, bottom: float) -> None:
        """A row of trees, out of focus."""
        crowns = [(x, top + 12 * np.sin(x / 13) + 7 * np.sin(x / 5)) for x in range(-20, SIZE + 40, 8)]
        self.shape([*crowns, (SIZE + 40, bottom), (-20, bottom)], "#4f7442", "#2a4526", smooth=False, soft=3)
        self.texture("#8aa860", top, bottom, (24, 9), 0.6, seed=1)
        self.texture("#1f3a1c", top, bottom, (14, 6), 0.9, seed=2)

    def eye(self, x: float, y: float, radius: float, iris: str, **how: Unpack[How]) -> None:
        """A round eye with a dark rim, a large pupil and a glint."""
        self.oval(x, y, 1.2 * radius, 1.1 * radius, "#1a1411", **how)
        self.oval(x, y, radius, 0.95 * radius, iris, **how)
        self.oval(x, y, 0.6 * radius, 0.8 * radius, "#0a0808", **how)
        self.oval(x - 0.3 * radius, y - 0.35 * radius, 0.25 * radius, 0.25 * radius, "white", **how)

    def wheel(self, x: float, y: float, radius: float) -> None:
        """A tyre and its rim, seen from the side."""
        self.oval(x, y, radius, radius, "#2b2b2d", "#0d0d0e")
        self.oval(x, y, 0.6 * radius, 0.6 * radius, "#d4d7da", "#74787d")
        self.oval(x, y, 0.2 * radius, 0.2 * radius, "#55585c")

    def finish(self) -> Image.Image:
        """The picture, with a little grain as of a camera."""
        grain = np.random.default_rng(0).normal(0, 5, self.pixels.shape[:2])[..., None]
        large = Image.fromarray(np.clip(self.pixels + grain, 0, 255).astype(np.uint8))
        return large.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _rgb(colour: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(colour), np.float32)


def _noise(width: int, height: int, cells: tuple[int, int], seed: int) -> np.ndarray:
    """Smooth noise of about 0 to 1, as many cells across and down."""
    coarse = np.random.default_rng(seed).random(cells[::-1], np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _blurred(mask: Image.Image, radius: float) -> np.ndarray:
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _curve(points: np.ndarray, closed: bool = True, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom spline through the points."""
    known = np.concatenate([points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]])
    a, b, c, d = (known[i : len(known) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.reshape(-1, points.shape[1])
    return curve if closed else np.concatenate([curve, points[-1:]])


# --------------------------------------------------------------------------- one drawing for each class


def airplane() -> Image.Image:
    s = Scene("#3f7fc4", "#6fa8dc", "#b9d7ee")
    s.texture("white", 120, 256, (5, 7), 0.6, seed=3)
    s.shape([(120, 128), (70, 88), (58, 88), (92, 132)], "#9aa5b1", "#7d8894", smooth=False)  # far wing
    s.shape([(46, 122), (14, 70), (34, 70), (78, 118)], "#2f5fa8", "#1c3f7a", smooth=False)  # fin
    hull = [(20, 126), (60, 114), (190, 110), (226, 118), (244, 132), (224, 144), (180, 150), (90, 148), (40, 136)]
    s.shape(hull, "#ffffff", "#8b98a6")
    s.shape([(30, 131), (230, 138), (222, 144), (180, 149), (90, 147)], "#2f5fa8", "#1c3f7a")
    for x in range(78, 214, 8):
        s.oval(x, 125, 2, 2.6, "#33475e")
    s.shape([(222, 119), (232, 123), (228, 128), (218, 126)], "#22303f", smooth=False)
    s.shape([(52, 128), (18, 146), (30, 148), (80, 134)], "#c9d2db", "#8f9aa6", smooth=False)  # tailplane
    s.oval(144, 164, 18, 9, "#e8edf2", "#66717d")
    s.shape([(170, 138), (84, 208), (62, 210), (108, 140)], "#e3e9ee", "#8593a1", smooth=False)
    return s.finish()


def automobile() -> Image.Image:
    s = Scene("#8fb7dd", "#cfe0ee", "#7f8587", "#77797b")
    s.trees(30, 150)
    s.texture("#5d5f61", 150, 256, (40, 60), 0.6)
    s.oval(130, 196, 122, 12, "#151515", soft=6, opacity=0.8)
    body = [(6, 160), (10, 136), (34, 125), (74, 117), (104, 96), (126, 89), (176, 89), (202, 98), (222, 112),
            (244, 122), (249, 150), (244, 180), (190, 186), (60, 186), (14, 182)]
    s.shape(body, "#e33a2e", "#8f1612")
    for a, b, c, d in ((84, 108, 136, 138), (145, 144, 174, 182), (190, 181, 196, 212)):  # windows
        s.shape([(a, 118), (b, 98), (c, 96), (d, 116)], "#1a2831", "#6f8998", smooth=False)
    s.stroke([(20, 132, 2), (130, 122, 4), (236, 126, 2)], "#ff9d8e", soft=1)
    for x in (96, 142):
        s.stroke([(x, 122, 1.5), (x - 1, 178, 1.5)], "#6d0f0c")
    s.oval(156, 130, 7, 2, "#f5d9d5", "#8a8a8a")
    s.oval(18, 142, 8, 7, "#fffbe6", "#c9c3a0")
    s.box(239, 129, 248, 146, "#ffb070")
    s.box(9, 167, 40, 182, "#3a3b3d", "#222222")
    for x in (66, 192):
        s.oval(x, 182, 28, 28, "#3a0806")
        s.wheel(x, 184, 24)
    return s.finish()


def bird() -> Image.Image:
    s = Scene("#8aa36a", "#6f8f52", "#4f6e3a")
    s.texture("#c5d29a", 0, 256, (5, 5), 0.7, seed=4)
    s.texture("#37552a", 0, 256, (6, 6), 0.6, seed=9)
    s.stroke([(0, 232, 20), (90, 220, 16), (180, 216, 14), (256, 200, 12)], "#8c6b4a", "#3e2b1b", fur=0.6)
    s.shape([(96, 150), (20, 212), (34, 224), (118, 186)], "#4e4439", "#2b2520", smooth=False, fur=0.5)
    body = [(132, 68), (150, 52), (184, 54), (200, 82), (206, 120), (192, 164), (156, 192), (112, 188), (80, 166),
            (96, 128), (124, 96)]
    s.shape(body, "#86765f", "#4a4034", fur=0.5)
    breast = [(176, 68), (200, 88), (206, 124), (190, 160), (160, 166), (150, 132), (160, 96)]
    s.shape(breast, "#e8793a", "#a9481c", fur=0.3, soft=2)
    s.shape([(186, 160), (156, 191), (116, 188), (140, 170)], "#efe7da", "#a89f92", soft=3)
    wing = [(128, 104), (152, 124), (146, 156), (108, 180), (60, 194), (84, 160), (104, 124)]
    s.shape(wing, "#5f5142", "#332b23", fur=0.8)
    s.shape([(196, 74), (226, 84), (197, 90)], "#4a4238", "#211d18", smooth=False)
    s.eye(178, 74, 6, "#221a14")
    for x in (140, 160):
        s.stroke([(x, 186, 4), (x + 2, 206, 3.5), (x + 8, 216, 5)], "#5a4030")
    return s.finish()


def cat() -> Image.Image:
    s = Scene("#ece8e0", "#e2dcd2", "#c9bca8")
    s.texture("#fbf8f2", 0, 200, (4, 4), 0.6, seed=5)
    s.oval(128, 250, 120, 16, "#4d4438", soft=8, opacity=0.7)
    coat, stripe = ("#a0988d", "#574f47"), "#2f2a25"
    s.stroke([(196, 226, 26), (232, 214, 24), (238, 178, 20), (226, 158, 13), (219, 150, 3)], *coat, fur=0.6)
    s.shape([(128, 120), (172, 144), (202, 200), (204, 252), (52, 252), (54, 200), (84, 144)], *coat, fur=0.7)
    for y in (176, 196, 216, 236):
        s.stroke([(54, y + 8, 7), (70, y, 6), (92, y + 2, 1)], stripe, mirror=True, soft=1.5)
    s.oval(128, 176, 24, 26, "#f0ebe2", "#c9c0b3", soft=5, fur=0.4)
    s.stroke([(112, 170, 6), (110, 196, 26), (107, 226, 22), (104, 250, 26)], *coat, mirror=True, fur=0.6)
    s.oval(104, 248, 18, 10, "#e6dfd4", "#9a9084", mirror=True, soft=2)
    s.shape([(46, 92), (40, 16), (47, 12), (114, 50)], *coat, smooth=False, mirror=True, fur=0.5)
    s.shape([(57, 70), (50, 31), (90, 54)], "#d0a093", "#8d655a", smooth=False, mirror=True, soft=2)
    head = [(172, 50), (206, 88), (212, 122), (184, 150), (128, 164), (72, 150), (44, 122), (50, 88), (84, 50)]
    s.shape(head, *coat, fur=0.7)
    for x, y in ((128, 42), (110, 46), (92, 54)):
        s.stroke([(x, y, 3), (x, y + 16, 8), (x + 2, y + 32, 2)], stripe, mirror=True, soft=1)
    for y in (108, 122, 136):
        s.stroke([(46, y - 8, 7), (68, y, 6), (86, y + 2, 1)], stripe, mirror=True, soft=1)
    s.oval(113, 141, 24, 17, "#f4efe8", "#c6bcaf", mirror=True, soft=4, fur=0.2)
    s.eye(90, 104, 16, "#c5c552", mirror=True)
    s.shape([(118, 124), (138, 124), (128, 135)], "#cf8780", "#9a5853", smooth=False)
    s.stroke([(128, 134, 2), (127, 142, 2), (119, 147, 2), (109, 143, 2)], "#4a3a33", mirror=True)
    for y in (138, 146):
        s.stroke([(104, y, 1.2), (60, y - 4, 1), (30, y + 2, 0.6)], "white", mirror=True)
    return s.finish()


def deer() -> Image.Image:
    s = Scene("#55683f", "#62733f", "#7d8a4a", "#76803f")
    s.texture("#2b3a22", 0, 120, (12, 7), 1.0, seed=6)
    s.texture("#a9a75e", 110, 256, (70, 18), 0.6, seed=7)
    s.texture("#4b5c2a", 100, 256, (60, 12), 0.7, seed=8)
    s.oval(140, 236, 76, 8, "#2c3318", soft=6, opacity=0.5)
    coat, far, horn, light = ("#b48354", "#7b5735"), ("#7a5434", "#3e2917"), ("#dcc9a2", "#a58a5e"), "#f0e4cc"
    s.stroke([(110, 142, 16), (104, 176, 8), (106, 206, 6), (102, 236, 6)], *far)
    s.stroke([(182, 134, 22), (174, 174, 10), (184, 202, 7), (178, 236, 6)], *far)
    body = [(98, 118), (114, 104), (146, 106), (182, 102), (206, 112), (208, 134), (190, 146), (146, 150), (106, 152)]
    s.shape(body, *coat, fur=0.4)
    s.shape([(116, 148), (146, 146), (184, 142), (176, 150), (146, 154), (120, 154)], light, "#c4b08e", soft=2)
    neck = [(118, 108), (102, 84), (92, 66), (76, 72), (80, 94), (88, 124), (102, 148), (124, 136)]
    s.shape(neck, *coat, fur=0.4)
    s.stroke([(124, 116, 4), (120, 138, 22), (118, 174, 9), (119, 206, 7), (116, 240, 7)], *coat)
    s.stroke([(188, 106, 4), (192, 126, 30), (194, 168, 12), (206, 198, 8), (200, 240, 7)], *coat)
    s.oval(207, 122, 7, 15, light, "#d4c7ae", soft=2)
    for x, y in ((150, 114), (166, 112), (182, 114), (142, 124), (158, 122), (174, 122)):
        s.oval(x, y, 3, 2.2, light, soft=1, opacity=0.8)
    for side in (-1, 1):
        s.stroke([(80, 62, 6), (80 + 26 * side, 44, 6), (80 + 34 * side, 22, 5), (80 + 22 * side, 4, 2)], *horn)
        for x, y, tip in ((18, 50, 26), (32, 36, 22), (34, 22, 16)):
            s.stroke([(80 + x * side, y, 4), (80 + (x - 6) * side, y - tip, 2)], *horn)
    s.shape([(92, 66), (116, 58), (122, 64), (98, 76)], *far)
    s.shape([(96, 64), (80, 60), (66, 70), (48, 88), (51, 97), (64, 96), (82, 88), (96, 78)], *coat, fur=0.3)
    s.oval(51, 92, 5, 5, "#1d1510")
    s.oval(75, 72, 4, 4, "#120c08")
    return s.finish()


def dog() -> Image.Image:
    s = Scene("#7c9a5c", "#6c9147", "#58803a")
    s.texture("#a9c274", 0, 256, (6, 6), 0.6, seed=2)
    s.texture("#3c5c28", 100, 256, (60, 14), 0.6, seed=3)
    coat, white = ("#d0965a", "#84562a"), ("#f7efe2", "#b9a88e")
    s.shape([(128, 110), (184, 150), (210, 210), (216, 280), (40, 280), (46, 210), (72, 150)], *coat, fur=0.5)
    s.shape([(128, 150), (164, 180), (166, 270), (90, 270), (92, 180)], *white, soft=5, fur=0.4)
    head = [(172, 30), (194, 72), (188, 116), (164, 156), (128, 172), (92, 156), (68, 116), (62, 72), (84, 30)]
    s.shape(head, *coat, fur=0.5)
    s.shape([(128, 26), (142, 60), (150, 110), (128, 140), (106, 110), (114, 60)], *white, soft=4)
    s.oval(128, 134, 40, 34, *white, soft=3, fur=0.3)
    ear = [(84, 34), (50, 46), (30, 90), (32, 136), (50, 150), (66, 120), (72, 76)]
    s.shape(ear, "#80512a", "#45290f", mirror=True, fur=0.5)
    s.shape([(112, 150), (144, 150), (142, 182), (128, 192), (114, 182)], "#e8808a", "#b04a58")
    s.stroke([(128, 132, 3), (126, 150, 4), (96, 150, 2)], "#3a2416", mirror=True)
    s.shape([(106, 108), (128, 102), (150, 108), (142, 126), (128, 132), (114, 126)], "#2b2523", "#0b0909")
    s.oval(119, 110, 6, 3, "#8f8785", soft=2)
    s.eye(98, 82, 10, "#4a2a12", mirror=True)
    return s.finish()


def frog() -> Image.Image:
    s = Scene("#3d4a2a", "#4e5f33", "#6a7440")
    s.texture("#3a3826", 0, 256, (9, 9), 0.8, seed=1)
    s.texture("#c2b384", 60, 256, (36, 26), 0.6, seed=2)
    s.oval(128, 226, 120, 18, "#17150c", soft=8, opacity=0.8)
    skin, limb, spot = ("#95a64b", "#5a6a2b"), ("#818f40", "#434f20"), "#333f1a"
    s.shape([(54, 126), (18, 152), (4, 204), (30, 228), (80, 224), (92, 180)], *limb, mirror=True, fur=0.5)
    body = [(128, 66), (180, 72), (220, 110), (222, 160), (190, 212), (66, 212), (34, 160), (36, 110), (76, 72)]
    s.shape(body, *skin, fur=0.6)
    belly = [(128, 152), (204, 138), (198, 180), (168, 214), (128, 222), (88, 214), (58, 180), (52, 138)]
    s.shape(belly, "#b9b888", "#7f8250", soft=4, fur=0.4)
    s.stroke([(36, 122, 3), (76, 142, 5), (128, 150, 5), (180, 142, 5), (220, 122, 3)], "#2a3616")
    for x, y, size in ((112, 90, 9), (142, 84, 8), (156, 110, 10), (100, 118, 8), (128, 118, 9), (178, 124, 7)):
        s.oval(x, y, 1.2 * size, 0.8 * size, spot, soft=1)
    for x, y, size in ((56, 112, 7), (40, 176, 9), (24, 200, 8), (52, 204, 9), (62, 164, 7)):
        s.oval(x, y, 1.2 * size, 0.8 * size, spot, soft=1, mirror=True)
    s.oval(76, 80, 30, 27, *skin, mirror=True)
    s.eye(74, 78, 18, "#c9963a", mirror=True)
    s.stroke([(84, 180, 30), (72, 208, 24), (60, 234, 24)], *limb, mirror=True, fur=0.4)
    for x in (36, 54, 74):
        s.stroke([(62, 226, 10), (x, 241, 7)], *limb, mirror=True)
    return s.finish()


def horse() -> Image.Image:
    s = Scene("#a9c8e4", "#c4d8e4", "#7ba04c", "#5f8f38")
    s.trees(50, 136)
    s.texture("#3f6a26", 140, 256, (70, 16), 0.6, seed=7)
    s.oval(140, 228, 96, 9, "#22350f", soft=6, opacity=0.7)
    coat, leg, mane = ("#a5622c", "#5f2d11"), ("#95521f", "#20100a"), ("#2a1710", "#0f0805")
    s.stroke([(86, 140, 24), (76, 174, 14), (80, 198, 10), (74, 226, 11)], "#5c2f14", "#1d0e06")
    s.stroke([(180, 130, 36), (172, 168, 18), (182, 192, 12), (176, 226, 11)], "#5c2f14", "#1d0e06")
    s.stroke([(204, 100, 10), (222, 126, 20), (226, 168, 20), (216, 204, 4)], *mane, fur=0.5)
    body = [(74, 122), (98, 88), (140, 96), (182, 86), (208, 106), (208, 138), (182, 154), (130, 162), (88, 152)]
    s.shape(body, *coat, fur=0.3)
    s.shape([(124, 98), (100, 64), (74, 34), (54, 42), (56, 68), (66, 100), (76, 136), (106, 140)], *coat, fur=0.3)
    s.stroke([(106, 112, 4), (100, 136, 32), (96, 174, 17), (97, 200, 11), (94, 232, 13)], *leg)
    s.stroke([(186, 92, 4), (188, 122, 44), (190, 164, 22), (204, 190, 13), (198, 232, 13)], *leg)
    s.shape([(72, 30), (70, 12), (80, 30)], *coat, smooth=False)
    head = [(78, 32), (62, 32), (44, 54), (24, 82), (24, 94), (34, 100), (46, 92), (60, 76), (76, 62)]
    s.shape(head, *coat, fur=0.2)
    s.shape([(68, 22), (88, 36), (110, 62), (128, 94), (114, 96), (94, 72), (74, 50), (66, 40)], *mane, fur=0.6)
    s.oval(56, 54, 4, 4, "#0d0705")
    return s.finish()


def ship() -> Image.Image:
    s = Scene("#7fb0de", "#c3dcf0", "#3f78a8", "#1f4f7c")
    s.texture("white", 0, 110, (4, 6), 0.5, seed=2)
    s.texture("#123a60", 128, 256, (12, 50), 0.7, seed=3)
    s.texture("#a9cbe2", 140, 256, (16, 60), 0.35, seed=4)
    s.stroke([(128, 96, 3), (128, 30, 2)], "#dddddd")
    s.stroke([(108, 52, 2), (148, 52, 2)], "#dddddd")
    s.shape([(66, 76), (66, 44), (92, 44), (96, 76)], "#d8432f", "#8e2318", smooth=False)  # funnel
    s.box(65, 44, 93, 52, "#26282c")
    for left, right, top in ((56, 171, 76), (44, 187, 96), (36, 203, 116)):  # decks
        s.box(left, top, right, top + 22, "#ffffff", "#cdd5dc")
        for x in range(left + 8, right - 7, 11):
            s.box(x, top + 6, x + 6, top + 13, "#2c3e50")
    hull = [(16, 130), (120, 138), (200, 134), (246, 120), (224, 156), (208, 184), (32, 184), (20, 160)]
    s.shape(hull, "#f4f6f8", "#9fb0bf", smooth=False)
    s.shape([(19, 152), (226, 152), (208, 186), (32, 186)], "#1f4e8c", "#12305a", smooth=False)
    s.stroke([(10, 188, 8), (120, 186, 7), (214, 184, 10), (230, 190, 3)], "white", "#c9dcea", soft=2)
    s.texture("#0f3458", 184, 222, (10, 6), 0.7, seed=5)
    return s.finish()


def truck() -> Image.Image:
    s = Scene("#8db9e2", "#d3e4f1", "#8a8d8f", "#6c6e70")
    s.trees(96, 168)
    s.texture("#55575a", 166, 256, (40, 60), 0.6)
    s.oval(130, 220, 124, 9, "#121212", soft=5, opacity=0.8)
    s.box(20, 186, 240, 204, "#303235", "#18191a")
    s.box(80, 70, 96, 190, "#2a2c30")
    s.shape([(92, 40), (242, 46), (242, 184), (92, 190)], "#f4f6f8", "#b4bec7", smooth=False)
    for x in range(112, 240, 20):
        s.stroke([(x, 44, 1.5), (x, 186, 1.5)], "#aab4bd")
    s.shape([(92, 178), (242, 173), (242, 184), (92, 190)], "#2f6db8", "#1d4a86", smooth=False)
    s.shape([(12, 206), (12, 136), (24, 72), (30, 66), (84, 62), (84, 206)], "#d63a2c", "#8f1d14", smooth=False)
    s.shape([(17, 128), (27, 82), (36, 82), (36, 128)], "#8fa9ba", "#33454f", smooth=False)
    s.shape([(44, 82), (76, 80), (76, 124), (44, 128)], "#263640", "#7d97a7", smooth=False)
    for x in (40, 80):
        s.stroke([(x, 80, 1.5), (x, 196, 1.5)], "#7a150e")
    s.box(12, 140, 36, 166, "#3a3c40", "#1e2022")
    s.box(8, 186, 30, 210, "#c9ced3", "#73797f")
    s.oval(20, 178, 7, 6, "#fff6d8", "#c7b98c")
    for x in (56, 178, 222):
        s.wheel(x, 208, 22)
    return s.finish()


# By the class that the shipped weights see in them; a test holds them to it.
EXAMPLES: dict[str, Callable[[], Image.Image]] = {
    draw.__name__: draw for draw in (airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck)
}


@cache
def example_files() -> list[str]:
    """The drawings as PNG files, named after their class, and a photo of what is none of the ten: a tower."""
    folder = Path(tempfile.mkdtemp(prefix="mvit-examples-"))
    for name, draw in EXAMPLES.items():
        draw().save(folder / f"{name}.png")
    return [*(str(folder / f"{name}.png") for name in EXAMPLES), get_image("tower.jpg")]

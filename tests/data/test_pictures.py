"""Pictures from strangers. Files are made here; what they must become follows from the formats' definitions."""

import os
import random
import struct
import warnings
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile

from mvit.data.pictures import (
    CIFAR10_MEAN,
    FORMATS,
    JPEG_SIDE,
    MAX_PIXELS,
    MAX_SIDE,
    PictureError,
    enlarge,
    load_picture,
    to_network_size,
)
from tests.data.hostile import HEIC, good_files, noise, png, saved

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged files
WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def refusal(file) -> str:
    with pytest.raises(PictureError) as caught:
        load_picture(file)
    message = str(caught.value)
    assert message.endswith(".")
    assert not any(leak in message for leak in ("/", "\n", "Error", "cat.png"))
    return message


# --------------------------------------------------------------------------- what a picture looks like

EXIF_ROW_0_AND_COLUMN_0 = {1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
                           5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom")}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(orientation, format):
    upright = np.full((32, 48, 3), BLUE, np.uint8)
    upright[:16, :16] = RED
    row_0, column_0 = EXIF_ROW_0_AND_COLUMN_0[orientation]
    stored = upright.transpose(1, 0, 2) if row_0 in ("left", "right") else upright
    stored = stored[::-1] if row_0 in ("bottom", "right") else stored
    stored = stored[:, ::-1] if column_0 in ("bottom", "right") else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_picture(saved(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, quality=95))
    assert np.abs(np.asarray(loaded).astype(int) - upright).mean() < 5  # lossy at the edge


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*"])
def test_unreadable_exif_is_no_obstacle(exif):
    assert load_picture(saved(noise(), "PNG", exif=exif)) == noise()


def two_colours(mode: str, first=0, second=1) -> Image.Image:
    """Two pixels; in mode P index 0 is red and 1 is blue."""
    image = Image.new(mode, (2, 1), first)
    if "P" in mode:
        image.putpalette(RED + BLUE)
    image.putpixel((1, 0), second)
    return image


@pytest.mark.parametrize(("file", "expected"), [
    (saved(two_colours("RGBA", (*RED, 128), (*BLUE, 0)), "PNG"), [(255, 127, 127), WHITE]),
    (saved(two_colours("LA", (0, 0), (0, 255)), "PNG"), [WHITE, (0, 0, 0)]),
    (saved(two_colours("PA", (0, 0), (1, 255)), "TIFF"), [WHITE, BLUE]),
    (saved(two_colours("P"), "PNG", transparency=bytes([128, 255])), [(255, 127, 127), BLUE]),
    (saved(two_colours("P"), "PNG", transparency=1), [RED, WHITE]),
    (saved(two_colours("P"), "GIF", transparency=1), [RED, WHITE]),
    (saved(two_colours("L", 70, 80), "PNG", transparency=80), [(70, 70, 70), WHITE]),
    (saved(two_colours("1", 0, 1), "PNG", transparency=0), [WHITE, WHITE]),
    (saved(two_colours("RGB", RED, BLUE), "PNG", transparency=RED), [WHITE, BLUE]),
    (saved(two_colours("I;16", 257, 25700), "PNG", transparency=257), [WHITE, (100, 100, 100)]),
    (saved(two_colours("1", 0, 1), "PNG"), [(0, 0, 0), WHITE]),
    (saved(two_colours("L", 70, 255), "PNG"), [(70, 70, 70), WHITE]),
    (saved(two_colours("P"), "BMP"), [RED, BLUE]),
    (saved(two_colours("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF"), [RED, (0, 0, 0)]),
    (saved(Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "JPEG"), [RED, RED]),  # Adobe's, stored inverted
    (saved(Image.new("YCbCr", (2, 1), (76, 85, 255)), "JPEG"), [RED, RED]),
    (saved(two_colours("LAB", (255, 128, 128), (138, 209, 198)), "TIFF"), [WHITE, RED]),  # L* 54, a* 81, b* 70 (D50)
    (png(2, 1, 16, 2, b"\0" + struct.pack(">6H", 65535, 0, 0, 0, 0, 32768)), [RED, (0, 0, 128)]),
    (BytesIO(b"P3 2 1 255  255 0 0  0 0 255"), [RED, BLUE]),
])
def test_modes(file, expected):
    loaded = load_picture(file)
    assert (loaded.mode, loaded.info) == ("RGB", {})
    np.testing.assert_allclose(np.asarray(loaded)[0], expected, atol=6)


@pytest.mark.parametrize(("dtype", "format"), [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("<i4", "TIFF")])
def test_16_bits_are_scaled(dtype, format):
    levels = np.arange(65536).reshape(256, 256)
    loaded = load_picture(saved(Image.fromarray(levels.astype(dtype)), format))
    np.testing.assert_array_equal(np.asarray(loaded)[..., 0], np.rint(levels / 257))


@pytest.mark.parametrize(("dtype", "levels", "expected"), [
    ("f4", [0, 0.2, 1], [0, 51, 255]),
    ("f4", [0.4, 0.4, 0.4], [102, 102, 102]),
    ("f4", [-10, 0, 40], [0, 51, 255]),
    ("f4", [np.nan, 0.2, np.inf], [0, 51, 255]),
    ("f4", [-np.inf, np.nan, np.inf], [0, 0, 255]),
    ("f4", [-3e38, 3e38, 3e38], [0, 255, 255]),
    ("i4", [-100_000, -60_000, 100_000], [0, 51, 255]),
])
def test_other_scales(dtype, levels, expected):
    loaded = load_picture(saved(Image.fromarray(np.array([levels], dtype)), "TIFF"))
    assert np.asarray(loaded)[0].tolist() == [[level] * 3 for level in expected]


def test_levels_are_scaled_by_those_of_the_whole_picture():
    levels = np.linspace(-10, 40, 1500 * 2000, dtype="f4").reshape(1500, 2000)  # more than are looked at at once
    loaded = load_picture(saved(Image.fromarray(levels), "TIFF"))
    expected = np.interp(levels, (-10, 40), (0, 255))
    assert np.abs(np.asarray(loaded)[..., 0] - expected).max() <= 0.5


def test_what_phones_make_is_read():
    loaded = load_picture(BytesIO(HEIC))
    assert loaded.size == (48, 32)
    for place, colour in (((8, 8), RED), ((30, 8), BLUE), ((30, 24), (0, 255, 0))):
        np.testing.assert_allclose(loaded.getpixel(place), colour, atol=8)


@pytest.mark.parametrize(("size", "decoded"), [
    ((2 * JPEG_SIDE - 1, 4200), (2 * JPEG_SIDE - 1, 4200)), ((4200, 2 * JPEG_SIDE), (2100, JPEG_SIDE))])
def test_a_huge_jpeg_is_decoded_smaller_and_looks_the_same(size, decoded):
    picture = Image.effect_noise((64, 64), 90).convert("RGB").resize(size)
    loaded = load_picture(file := saved(picture, "JPEG", quality=90))
    assert loaded.size == decoded
    whole = to_network_size(Image.open(file))
    assert np.abs(np.asarray(to_network_size(loaded)).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    loaded = load_picture(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(loaded.getpixel((4, 4)), RED, atol=4)


def test_path_and_stream_are_read_alike(tmp_path):
    file = saved(noise(), "PNG")  # its position is at the end
    (tmp_path / "anything.txt").write_bytes(file.getvalue())
    for source in (file, tmp_path / "anything.txt", str(tmp_path / "anything.txt")):
        assert load_picture(source) == noise()
    assert not file.closed


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(("content", "words"), [
    (b"", "empty"),
    (b"A cat sat on the mat.\n", "not a picture"),
    (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a cat -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    (b"<!doctype html><title>A cat</title><svg/>", "not a picture"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), "damaged"),
    (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64), "damaged"),
    (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(64), "damaged"),
    (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(64), "video"),
    (saved(Image.new("RGB", (4, 4)), "EPS").getvalue(), "EPS"),
    (saved(Image.new("RGB", (4, 4)), "PDF").getvalue(), "PDF"),
    (saved(Image.new("RGB", (16, 16)), "ICO").getvalue(), "ICO"),
])
def test_not_a_picture(tmp_path, content, words):
    (tmp_path / "cat.png").write_bytes(content)
    assert words in refusal(tmp_path / "cat.png")


def test_not_a_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "cat.png")
    assert "folder" in refusal(tmp_path)
    assert "opened" in refusal("cat\0.png")
    os.mkfifo(tmp_path / "pipe.png")  # into which nobody writes
    assert "a pipe or a device" in refusal(tmp_path / "pipe.png")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9])
def test_truncated(format, part):
    content = good_files()[format]
    assert load_picture(BytesIO(content)).width in (40, 48)
    assert refusal(BytesIO(content[: int(part * len(content))]))


@pytest.mark.parametrize("size", [(60000, 60000), (12000, 12000), (2, MAX_PIXELS // 2 + 1), (1, MAX_SIDE + 1)])
@pytest.mark.parametrize("on_warning", ["ignore", "error"])  # Pillow refuses the first size, warns of the second
def test_bomb_is_refused_by_its_header(monkeypatch, size, on_warning):
    warnings.simplefilter(on_warning)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    limit = Image.MAX_IMAGE_PIXELS
    assert "megapixels" in refusal(png(*size, 8, 2, bytes(100)))
    assert Image.MAX_IMAGE_PIXELS == limit


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "AVIF", "BMP", "JPEG2000"])
def test_corruption_ends_in_a_picture_or_a_sentence(format):
    content, rng = saved(noise(), format).getvalue(), random.Random(0)
    for _ in range(200):
        corrupt = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            # Half of the errors go to the header, where they do most.
            position = rng.randrange(rng.choice((min(100, len(corrupt)), len(corrupt))))
            corrupt[position] = rng.randrange(256)
        with suppress(PictureError):
            assert load_picture(BytesIO(corrupt)).mode == "RGB"


# --------------------------------------------------------------------------- to the network's size


def test_what_is_kept_of_a_picture_that_is_not_square():
    wide = noise(9, 4)
    assert np.array_equal(to_network_size(wide, 4, "crop"), np.asarray(wide)[:, 2:6])
    letterbox = np.asarray(to_network_size(wide, 9, "letterbox"))
    assert np.array_equal(letterbox[2:6], wide)
    assert (np.delete(letterbox, range(2, 6), axis=0) == CIFAR10_MEAN).all()
    with pytest.raises(ValueError, match="stretch"):
        to_network_size(wide, how="stretch")


@pytest.mark.parametrize("how", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (50_000, 1), (1, 50_000), (33, 31), (640, 480)])
def test_any_shape(size, how):
    loaded = load_picture(saved(Image.new("RGB", size, RED), "PNG"))
    resized = to_network_size(loaded, how=how)
    assert (loaded.size, resized.size) == (size, (32, 32))
    assert RED in {colour for _, colour in resized.getcolors()}


@pytest.mark.parametrize("how", ["crop", "letterbox"])
def test_network_size_keeps_pixels_of_its_own_size_and_averages_finer_ones(how):
    assert to_network_size(noise(32, 32), how=how) == noise(32, 32)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = np.asarray(to_network_size(Image.fromarray(stripes), how=how))[:, 4:-4]
    assert np.abs(inner - 127.5).max() < 2  # picking every eighth pixel would give 0 or 255


@pytest.mark.parametrize(("size", "factor"), [(320, 10), (325, 10), (350, 11), (1, 1)])
def test_enlarge(size, factor):
    blocks = np.asarray(noise(32, 32)).repeat(factor, 0).repeat(factor, 1)
    assert np.array_equal(enlarge(noise(32, 32), size), blocks)

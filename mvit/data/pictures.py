"""Any visitor's file to what the network sees: an upright RGB picture, made square, 32 x 32.

Files come from strangers. What cannot be read ends in a :class:`PictureError`, whose message the page can show.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pi_heif
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

MAX_PIXELS = 8192 * 6144  # the 50 megapixels of today's phones; 200 MB once decoded
MAX_SIDE = 65_535  # no camera's; every row of pixels costs memory besides its pixels
# A JPEG whose sides are both at least twice this is decoded at a half, quarter or eighth: it stays finer than this.
JPEG_SIDE = 2048
# Test images cut to 4:3 were classified rightly in 75.0 % by letterbox and 69.1 % by crop, cut to 16:9 in 61.0 % and
# 37.2 % (python -m mvit.evaluate checkpoints/reference --data PATH --aspect 4:3 --fit letterbox; JPEG copy).
FIT = "letterbox"
CIFAR10_MEAN = (125, 123, 114)  # becomes zero when it is normalised

# What people have, read by signature, with the size in the header. Pillow would open more: EPS by running
# Ghostscript, IPTC by opening what is embedded (EPS again), ICO by decoding before anyone can ask for the size.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000", "PPM")
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)  # HEIC: what iPhones make

NOT_READ = (
    (rb"....ftypavi[fs]", "an AVIF picture"),  # where Pillow was built without it
    (rb"....ftyp", "a video or a raw photo"),  # MP4, MOV; CR3
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (rb"(\xef\xbb\xbf)?\s*<(svg|!DOCTYPE svg|(\?xml|!--).*<svg)", "an SVG drawing"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript drawing (EPS)"),
    (rb"%PDF", "a PDF document"),
    (rb"\x00\x00\x01\x00", "an icon (ICO)"),
)

# Antialiased: when shrinking, Pillow widens the filter to cover all pixels that go into one. Bicubic stays sharper
# than an area average (BOX), which would also enlarge to blocks, and rings less at edges than LANCZOS.
RESAMPLING = Image.Resampling.BICUBIC


DAMAGED = "This picture is damaged or incomplete, or too large to decode."


class PictureError(ValueError):
    """The file is no picture that can be read; the message is one sentence for the visitor of the page."""


# --------------------------------------------------------------------------- reading a file


def load_picture(file: str | Path | BinaryIO) -> Image.Image:
    """Read a picture as RGB and upright, whatever its format and mode.

    Cameras' rotation (EXIF) is applied. Transparent parts become white: that is what lies behind a picture on most
    pages, so it is how its maker saw it. Grey levels of more than 8 bits are scaled to 8, not clipped. Of an
    animation the first frame is taken. A JPEG of 4096 pixels or more on both sides is decoded at a half, quarter or
    eighth of them.

    Args:
        file: a path, or a seekable file open for reading bytes, which is read from its start and left open.

    Returns:
        An image of mode RGB, of at most ``MAX_PIXELS`` pixels, without metadata.

    Raises:
        PictureError: missing, empty, damaged, too large, no picture, or a format that is not read.
    """
    if not isinstance(file, (str, Path)):
        return _read(file)
    try:
        kind = os.stat(file).st_mode
        stream = open(file, "rb") if stat.S_ISREG(kind) else None  # to open a pipe would wait for who writes into it
    except FileNotFoundError as error:
        raise PictureError("There is no such file.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise PictureError("This file cannot be opened.") from error
    if stream is None:
        raise PictureError("This is a folder, not a picture." if stat.S_ISDIR(kind) else
                           "This is no file, but a pipe or a device.")
    with stream:
        return _read(stream)


def _read(stream: BinaryIO) -> Image.Image:
    # Broad on purpose: on corrupt data Pillow's plugins and the libraries below them raise OSError, SyntaxError,
    # ValueError, EOFError, TypeError, struct.error, zlib.error, MemoryError and more; all mean the same here.
    try:
        image: Image.Image = Image.open(stream, formats=FORMATS)
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:  # by its header: nothing is decoded
            raise _too_large()
        image.draft(None, (JPEG_SIDE, JPEG_SIDE))
        image.load()
        with suppress(Exception):  # unreadable EXIF is no reason to refuse the picture
            ImageOps.exif_transpose(image, in_place=True)
        image = _to_8_bit(image)  # each step lets go of what the one before has made: a picture may be 200 MB
        image = _on_white(image)
        picture = image.convert("RGB")
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except UnidentifiedImageError as error:
        stream.seek(0)
        raise PictureError(_explain(stream.read(4096))) from error
    except Exception as error:
        raise PictureError(DAMAGED) from error
    picture.info.clear()  # a CMYK profile, say, is wrong for RGB, and where it was taken is nobody's business
    return picture


def _too_large() -> PictureError:
    return PictureError(f"This picture is too large: at most {MAX_PIXELS // 10**6} megapixels can be read, and "
                        f"{MAX_SIDE:,} pixels a side.")


def _explain(head: bytes) -> str:
    """Why Pillow does not know a file, by its first bytes; its name may say anything."""
    if not head:
        return "This file is empty."
    accepts = [Image.OPEN[name][1] for name in FORMATS]
    if any(accept is not None and accept(head) is True for accept in accepts):  # it begins like one of them
        return DAMAGED
    for signature, name in NOT_READ:
        if re.match(signature, head, re.DOTALL):
            return f"This is {name}, which cannot be read here: please convert it to JPEG or PNG."
    return "This is not a picture that can be read: please choose a JPEG or PNG file that opens in other programs."


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey levels of 16 or 32 bits or floating point to mode L, or LA if one level is declared transparent.

    Other modes have 8 bits and stay. White is 65535, or 1.0; values outside 0 to white mean another scale, and then the
    darkest finite value is black and the brightest white. What is not a number is black.
    """
    if not image.mode.startswith(("I", "F")):  # I;16, I;16B, I, F
        return image
    black, white = (0.0, 1.0) if image.mode == "F" else (0.0, 65535.0)
    lowest, highest = np.inf, -np.inf
    for _, levels in _bands(image):
        finite = levels[np.isfinite(levels)]
        if finite.size:
            lowest, highest = min(lowest, finite.min()), max(highest, finite.max())
    if lowest < black or highest > white:
        black, white = lowest, highest
    grey = Image.new("LA" if "transparency" in image.info else "L", image.size)
    for top, levels in _bands(image):
        scaled = np.interp(levels, (black, white), (0, 255))  # beyond both ends: 0 and 255
        np.rint(np.nan_to_num(scaled, copy=False), out=scaled)
        band = Image.fromarray(scaled.astype(np.uint8))
        if "transparency" in image.info:  # Pillow's own conversion looks for the level after it has clipped all to 255
            band.putalpha(Image.fromarray(levels != image.info["transparency"]))
        grey.paste(band, (0, top))
    return grey


def _on_white(image: Image.Image) -> Image.Image:
    """What is transparent becomes white, in place where the mode is RGBA already."""
    if not image.has_transparency_data:
        return image
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    image.paste("white", mask=ImageChops.invert(image.getchannel("A")))
    return image


def _bands(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """The image's levels, some rows at a time: (the first row's number, an array of them). All at once are too much."""
    rows = max(1, 1_000_000 // image.width)
    for top in range(0, image.height, rows):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))


# --------------------------------------------------------------------------- to the network's size


def to_network_size(picture: Image.Image, size: int = 32, how: str = FIT) -> Image.Image:
    """Make an RGB picture square and resize it, antialiased, to size x size pixels.

    A picture that has this size already keeps its pixels.

    Args:
        how: ``"crop"`` keeps the centre; ``"letterbox"`` keeps all of it, between bars of CIFAR-10's mean colour.

    Raises:
        ValueError: another ``how``.
    """
    if how == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        return picture.crop((left, top, left + side, top + side)).resize((size, size), RESAMPLING)
    if how == "letterbox":  # scaled first: 50000 x 1 must not become 50000 x 50000
        width, height = (max(1, round(size * side / max(picture.size))) for side in picture.size)
        square = Image.new("RGB", (size, size), CIFAR10_MEAN)
        square.paste(picture.resize((width, height), RESAMPLING), ((size - width) // 2, (size - height) // 2))
        return square
    raise ValueError(f'a picture is fitted by "crop" or "letterbox", not by {how!r}')


def enlarge(picture: Image.Image, size: int = 320) -> Image.Image:
    """Show each pixel as a square block, all of the same size.

    Returns:
        The picture, its longer side the multiple of what it was that is nearest to ``size``, once at the least.
    """
    factor = max(1, round(size / max(picture.size)))
    return picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)

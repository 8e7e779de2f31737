"""Files that nobody should send: by hand what is known to hurt, and mutations of good files of every format.

As a program, ``python -m tests.data.hostile COUNT``, it has the page's reader read them all, two at a time, and says
how long the longest took, how much memory the most, and how long a good picture had to wait meanwhile.
"""

import base64
import os
import random
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from mvit.data.decoder import Reader
from mvit.data.pictures import PictureError

# 48 x 32 pixels: red, blue from column 16, the lower half green; HEVC. (What reads HEIC here writes none.)
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAAB4gABAAAAAAAAAM0AAgAAAAACrwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEH"
    "BpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAA+W1kYXQAAADJKAGvCeAhOTQf"
    "//I7v//ysHZfvEeb1/87Bt39SG3/+QMG9f/nJR3+x0F/8oz8iD6xN5wcsDa6e/Sd7F+iQm5PbVyFudundCi1RIXE1pNfmqPrBz3nj0hgXdl9eH"
    "Cl5d9NrRv5vH56Vrqlyw3HrD0G1P3KogTtzDa5PcZ1fndSRmC4fHvEYrQRAd9G6y+bIkrTax6HirE+6Xf+bGRh1b774V/b6tsVifZxN1J/OmgL"
    "g62dsfW9++omhsZYu38n5Pg4U0/8SfhwiuHgAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQABAAAAAAAA"
)

MB = 1_000_000

# --------------------------------------------------------------------------- files by their specification


def saved(image: Image.Image, format: str, **options) -> BytesIO:
    image.save(file := BytesIO(), format, **options)
    return file


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, before: bytes = b"") -> BytesIO:
    """A PNG with correct checksums, whether or not the rows are what the header promises."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return BytesIO(b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def blank_png(width: int, height: int, depth: int, colour_type: int, channels: int) -> bytes:
    packer, left, data = zlib.compressobj(1), height * (1 + (width * depth * channels + 7) // 8), []
    while left > 0:
        data.append(packer.compress(bytes(min(left, MB))))
        left -= MB
    data = b"".join(data) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def repeated_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there many times: each goes over all coefficients once more."""
    content = saved(Image.new("RGB", (width, height), "red"), "JPEG", progressive=True, quality=20).getvalue()
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * scans + content[-2:]


def tiff(width: int, height: int, tags: dict[int, tuple[int, int, int]], tail: bytes = b"") -> bytes:
    """A grey TIFF of one strip; each tag as (type, count, value)."""
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
            277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height)} | tags
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + tail


def animation(format: str, frames: int) -> bytes:
    colours = [Image.new("RGB", (16, 16), (i % 256, i // 256, 99)) for i in range(frames)]
    return saved(colours[0], format, save_all=True, append_images=colours[1:], duration=40).getvalue()


def big(format: str, width: int = 8192, height: int = 6144, mode: str = "RGB", **options) -> bytes:
    return saved(Image.linear_gradient("L").resize((width, height)).convert(mode), format, **options).getvalue()


HURTS: dict[str, Callable[[], bytes]] = {
    "JPEG of 1,500 scans": lambda: repeated_scans(8000, 6000, 1500),
    "PNG of 1 x 50,000,000": lambda: blank_png(1, 50 * MB, 1, 0, 1),
    "16-bit PNG": lambda: blank_png(8192, 6144, 16, 0, 1),
    "PPM with a comment of 20 MB": lambda: b"P6 #" + b"x" * 20 * MB + b"\n1 1 255\n\1\2\3",
    "PPM as text": lambda: b"P3 4000 2000 255\n" + b"1 " * 24 * MB,
    "PNG, 50 megapixels": lambda: blank_png(8192, 6144, 8, 2, 3),
    "PNG with alpha, 50 megapixels": lambda: blank_png(8192, 6144, 8, 6, 4),
    "PNG, 16 bits of colour": lambda: blank_png(8192, 6144, 16, 2, 3),
    "PNG of 4 million chunks": lambda: png(8, 8, 8, 0, bytes(72), chunk(b"teSt", b"") * 4 * MB).getvalue(),
    "PNG of zipped texts": lambda: png(8, 8, 8, 0, bytes(72), 400 * chunk(
        b"zTXt", b"k\0\0" + zlib.compress(bytes(60 * MB)))).getvalue(),
    "JPEG of 10 million markers": lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 10 * MB + big("JPEG", 8, 8)[2:],
    "JPEG, progressive": lambda: big("JPEG", mode="CMYK", progressive=True, subsampling=0),
    "GIF of 3,000 frames": lambda: animation("GIF", 3000),
    "GIF, 65,000 x 700": lambda: big("GIF", 65_000, 700, "P"),
    "WebP of 1,000 frames": lambda: animation("WEBP", 1000),
    "WebP without loss": lambda: big("WEBP", 16383, 3000, lossless=True, method=0, quality=0),
    "AVIF": lambda: big("AVIF", speed=10),
    "TIFF, 32 bits": lambda: big("TIFF", mode="I", compression="tiff_adobe_deflate"),
    "TIFF, floating point": lambda: big("TIFF", mode="F", compression="tiff_adobe_deflate"),
    "TIFF, CMYK": lambda: big("TIFF", mode="CMYK", compression="tiff_lzw"),
    "TIFF with a tag of 48 MB": lambda: tiff(8, 8, {700: (4, 12 * MB, 200)}, bytes(48 * MB)),
    "TIFF with a huge tile": lambda: tiff(64, 64, {259: (3, 1, 8), 322: (4, 1, 60_000), 323: (4, 1, 60_000),
                                                   324: (4, 1, 8), 325: (4, 1, 99)}, bytes(200)),
    "JPEG 2000": lambda: big("JPEG2000", 4096, 3072, irreversible=True),
    "BMP": lambda: struct.pack("<2sIIIIiiHHIIIIII", b"BM", 0, 0, 54, 40, 8192, 6144, 1, 8, 1, 0, 0, 0, 0, 0) +
        b"\xff\1" * 20 * MB,
}

# --------------------------------------------------------------------------- mutations


@cache
def good_files() -> dict[str, bytes]:
    """A small picture in every format that is read, and in the ways of it that are read by other code."""
    picture = noise()
    frames = {"save_all": True, "append_images": [noise(40, 30).rotate(90 * i) for i in range(3)]}
    return {name: file if isinstance(file, bytes) else file.getvalue() for name, file in {
        "JPEG": saved(picture, "JPEG"), "JPEG, progressive": saved(picture, "JPEG", progressive=True),
        "PNG": saved(picture, "PNG"), "PNG, 16 bits": saved(Image.effect_noise((40, 30), 60).convert("I;16"), "PNG"),
        "PNG, palette": saved(picture.quantize(), "PNG", transparency=3), "GIF": saved(picture, "GIF"),
        "GIF, animated": saved(picture, "GIF", **frames),
        "WEBP": saved(picture, "WEBP"), "WEBP, animated": saved(picture, "WEBP", lossless=True, **frames),
        "AVIF": saved(picture, "AVIF"), "HEIF": HEIC, "TIFF": saved(picture, "TIFF"),
        "TIFF, LZW": saved(picture, "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG": saved(picture, "TIFF", compression="jpeg"), "BMP": saved(picture, "BMP"),
        "JPEG2000": saved(picture, "JPEG2000"), "PPM": saved(picture, "PPM")}.items()}


def mutated(rng: random.Random) -> bytes:
    """A good file with one to eight things wrong: half of them in its header, where they do most."""
    content = bytearray(rng.choice([*good_files().values()]))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(rng.choice((min(100, len(content)), len(content))))
        piece = content[at : at + rng.choice((1, 4, 20, 300))]
        match rng.randrange(7):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at] = rng.randrange(256)
            case 2:  # a size, count or offset
                content[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice((
                    0, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, rng.randrange(100_000), rng.randrange(1 << 32))))
            case 3:
                content[at : at + 2] = struct.pack(rng.choice("<>") + "H", rng.choice((0, 0xFFFF, 0x7FFF, 8192, 30000)))
            case 4:
                content[at:at] = piece * rng.choice((1, 10, 3000))
            case 5:
                del content[at : at + rng.choice((1, 4, 50))]
            case 6:
                content[at : at + 50] = rng.choice([*good_files().values()])[at : at + 50]
        if not content:
            break
    return bytes(content[: len(content) if rng.random() < 0.8 else rng.randrange(len(content) + 1)])


# --------------------------------------------------------------------------- read them


@dataclass
class Reading:
    """What became of a file: the words of its refusal, if it was refused; how long that took."""

    name: str
    refusal: str | None
    seconds: float


def read_all(files: Iterable[tuple[str, bytes]]) -> tuple[list[Reading], list[Reading], int]:
    """Have a reader read files, two at a time, and all the while a good one again and again.

    Returns:
        Of the files and of the good one what became of them, and the most bytes that a process of the reader has held.
    """
    reader, good, largest, done = Reader(), [], 0, threading.Event()

    def read(name: str, file: Path) -> Reading:
        begin, refusal = time.monotonic(), None
        try:
            reader(file, 32)
        except PictureError as error:
            refusal = str(error)
        return Reading(name, refusal, time.monotonic() - begin)

    def send(item: tuple[int, tuple[str, bytes]]) -> Reading:
        number, (name, content) = item
        file = Path(folder) / str(number)
        file.write_bytes(content)
        try:
            return read(name, file)
        finally:
            file.unlink()

    def read_good() -> None:
        while not done.wait(0.02):
            good.append(read("good", Path(folder) / "good"))

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.005):
            largest = max(largest, *map(resident, family(os.getpid())))

    with TemporaryDirectory() as folder, ThreadPoolExecutor(2) as two, ThreadPoolExecutor(2) as others:
        (Path(folder) / "good").write_bytes(good_files()["PNG"])
        reader.start()
        futures = [others.submit(job) for job in (read_good, watch)]
        try:
            readings = list(two.map(send, enumerate(files)))
        finally:
            done.set()
        for future in futures:
            future.result()
        reader.close()
    return readings, good, largest


def family(process: int) -> list[int]:
    """The process ids of all that a process has started, and what these have."""
    try:
        children = Path(f"/proc/{process}/task").glob("*/children")
        own = [int(child) for file in children for child in file.read_text().split()]
    except OSError:  # it has ended
        return []
    return [*own, *(descendant for child in own for descendant in family(child))]


def resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main(count: int) -> None:
    rng = random.Random(0)
    for what, files in (("known to hurt", ((name, make()) for name, make in HURTS.items())),
                        (f"{count:,} mutated", (("mutated", mutated(rng)) for _ in range(count)))):
        readings, good, largest = read_all(files)
        for reading in readings:
            if reading.name in HURTS or reading.seconds > 1:
                print(f"{reading.seconds:6.2f} s  {reading.name}: {reading.refusal or 'read'}")
        waits = sorted(reading.seconds for reading in good)
        median = 1000 * waits[len(waits) // 2]
        print(f"{what}: {sum(not reading.refusal for reading in readings)} read, the rest refused; the longest took "
              f"{max(reading.seconds for reading in readings):.2f} s, the largest process {largest / MB:.0f} MB.\n"
              f"A good picture was meanwhile read {len(good)} times, in {median:.0f} ms (median) to "
              f"{waits[-1]:.2f} s, and refused {sum(reading.refusal is not None for reading in good)} times.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

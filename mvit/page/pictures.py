"""Pictures on their way between the page and the server: what comes in as a file, what goes out as a figure."""

import base64
import hashlib
import io
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

LARGEST = 256  # pixels a side of what the page sends about
MOST_PIXELS_TEXT = 4 * LARGEST * LARGEST  # characters of base64


def picture_input(**options: Any) -> gr.Image:
    """A gr.Image whose handlers are given the path of the uploaded file, as it came.

    By itself gr.Image decodes the file before our code runs: it fails on what is no picture, and clips 16-bit grey to
    white. (Overridden on the instance: Gradio writes a .pyi file beside the source of every subclass.)
    """
    image = gr.Image(**options)
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def figure_output(alt_text: str, **options: Any) -> gr.Image:
    """A figure made on the server, sent without loss.

    Gradio writes a picture anew under the same name whenever it is the same; who is just being sent it then gets
    neither the old nor the new (6.31). So the file is made here, once.
    """
    image = gr.Image(**{"show_label": False, **options}, format="png", interactive=False, buttons=[], alt_text=alt_text)
    postprocess = image.postprocess
    image.postprocess = lambda figure: postprocess(figure and figure_file(figure, Path(image.GRADIO_CACHE)))
    return image


def as_png(figure: Image.Image) -> bytes:
    buffer = io.BytesIO()
    figure.save(buffer, "PNG", compress_level=1)  # somebody waits for it
    return buffer.getvalue()


def figure_file(figure: Image.Image, cache: Path) -> str:
    """The figure as a file in the cache, whole at every moment, whoever else makes the same."""
    png = as_png(figure)
    file = cache / hashlib.sha256(png).hexdigest() / "figure.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as part:
        part.write(png)
    os.replace(part.name, file)  # anew each time: what is old is deleted
    return str(file)


def pack(seen: Image.Image) -> str:
    """A square RGB picture as text: its pixels in base64.

    The page keeps it and sends it with what it asks about the picture. Nothing has to be remembered for a visitor, and
    nobody's picture is forgotten because others came.
    """
    return base64.b64encode(seen.tobytes()).decode()


def unpack(pixels: str) -> Image.Image:
    """The picture of :func:`pack`, whose size follows from the number of pixels: 1 to 256 × 256 of them."""
    try:
        raw = base64.b64decode(pixels, validate=True) if len(pixels) <= MOST_PIXELS_TEXT else b""
        side = math.isqrt(len(raw) // 3)
        if not side or len(raw) != 3 * side * side:
            raise ValueError("another number of bytes")
        return Image.frombytes("RGB", (side, side), raw)
    except (TypeError, ValueError) as error:
        raise gr.Error("This is no picture that the page has sent. Load it again.", print_exception=False) from error

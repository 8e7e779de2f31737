"""What a request may hold: of files only those that were uploaded, of values only what the page's components take."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOT_UPLOADED = "This file was not uploaded: please give the picture itself."
log = logging.getLogger(__name__)
UNFIT = "This request does not fit the page: please load the page anew, or see its API."


def guard(page: gr.Blocks) -> None:
    """Have every request's values checked before anything is done with them, or refused in one sentence.

    By itself Gradio opens any path that comes without ``meta``, fetches an address that stands in its place, and
    answers what it does not expect with a traceback in the log and the server's paths on the page (6.31). What fails
    before a handler has run fails by what was sent, and nearly always so does what fails in one; the log has a line of
    it. (On the instance: Gradio writes a .pyi file beside the source of every subclass.)
    """
    preprocess = page.preprocess_data

    async def checked(block_fn: Any, inputs: list, *arguments: Any, **options: Any) -> list:
        for path in paths_in(inputs):
            check_uploaded(path, Path(page.GRADIO_CACHE))
        try:
            return await preprocess(block_fn, inputs, *arguments, **options)
        except Exception as error:  # also Gradio's own, whose words name the server's folders
            raise gr.Error(UNFIT, print_exception=False) from error

    page.preprocess_data = checked
    process = page.process_api

    async def answered(*arguments: Any, **options: Any) -> dict:
        try:
            return await process(*arguments, **options)
        except Exception as error:
            if isinstance(error, gr.Error) and not error.print_exception:  # words of ours
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.warning("An event failed: %r (%s, line %d)", error, place.filename, place.lineno)
            raise gr.Error(UNFIT, print_exception=False) from error

    page.process_api = answered


def check_uploaded(path: Any, cache: Path) -> None:
    """Raise a gr.Error unless a path leads to a regular file below the folder into which Gradio puts uploads.

    The words are the same whether or not there is such a file.
    """
    try:
        file = Path(path).resolve()
        uploaded = file.is_relative_to(cache.resolve()) and file.is_file()
    except (TypeError, ValueError, OSError, RuntimeError):  # no path; a null character; too long; a loop of links
        uploaded = False
    if not uploaded:
        raise gr.Error(NOT_UPLOADED, print_exception=False)


def paths_in(value: Any) -> Iterator[Any]:
    """What stands as the path of a file anywhere in a request's values; None and "" stand for no file."""
    if isinstance(value, dict):
        if value.get("path") not in (None, ""):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from paths_in(part)


class AnswerInWords:
    """ASGI middleware: a request on which Gradio itself fails, such as an event that there is not, gets a sentence."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.warning("A request failed: %r (%s)", error, scope["path"])
            await JSONResponse({"error": UNFIT, "detail": UNFIT}, 400)(scope, receive, send)

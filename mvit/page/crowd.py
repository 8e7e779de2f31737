"""Many visitors at once: what is made once for all of them, how many are served, and what the others are told."""

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mvit.page.uploads import AnswerInWords

M_ARENA_MAX = -8  # malloc.h of glibc
MOST_EVENTS = 300  # that wait or are at work: what two cores answer in some five seconds
LIMITED = ("/run/", "/api/", "/component_server")  # addresses of what a visitor asks that takes work
BUSY = "The page is busy: please try again in a moment."


def made_once(maxsize: int) -> Callable[[Callable], Callable]:
    """An ``lru_cache`` for what takes long: of those who ask for it at the same moment one makes it, all get it."""
    def decorate(make: Callable) -> Callable:
        cached, making = lru_cache(maxsize)(make), threading.Lock()

        @wraps(make)
        def get(*key: Any) -> Any:
            with making:
                return cached(*key)
        return get
    return decorate


def keep_memory_together() -> None:
    """Have glibc's threads share two heaps: of eight for each core, every one keeps what it has once held."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_ARENA_MAX, 2)


def app_options(most: int = MOST_EVENTS) -> dict:
    """For ``launch(app_kwargs=...)``: a limit on events, its words, small answers for slow lines, no tracebacks.

    The limit is on what Gradio does not queue; it limits its queue by itself, to which the words are given here.
    """
    return {"exception_handlers": {503: lambda request, error: busy()},
            "middleware": [Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4),
                           Middleware(EventLimit, most=most), Middleware(AnswerInWords)]}


def busy() -> Response:
    """What a page ("error") and a program ("detail") read."""
    return JSONResponse({"error": BUSY, "detail": BUSY}, 503, headers={"Retry-After": "5"})


class EventLimit:
    """ASGI middleware: of Gradio's events that are answered directly, and of the drawing's experiments, no more than
    ``most`` at once.
    """

    def __init__(self, app: ASGIApp, most: int):
        self.app, self.most, self.under_way = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(part in scope["path"] for part in LIMITED):
            await self.app(scope, receive, send)
        elif self.under_way >= self.most:
            await busy()(scope, receive, send)
        else:
            self.under_way += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.under_way -= 1

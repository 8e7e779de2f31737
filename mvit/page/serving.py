"""Around the page's server: where it listens, what it leaves on the disk, how it ends.

Nothing here imports Gradio, which reads the environment when it is imported.
"""

import gc
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C; the system, or a container's; the terminal is closed


class ServingError(Exception):
    """The page cannot be served; the message is one sentence for the person who started it."""


def check_address() -> None:
    """Look at GRADIO_SERVER_NAME and GRADIO_SERVER_PORT as Gradio will, and keep proxies out of the way to there.

    Raises:
        ServingError: the page cannot listen there.
    """
    name, port = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ServingError(f"GRADIO_SERVER_PORT is {port!r}: set it to a whole number from 1 to 65535, or unset it.")
    try:
        family, kind, _, _, (host, *_) = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind((host, 0))
    except (OSError, UnicodeError) as error:
        raise ServingError(f"GRADIO_SERVER_NAME is {name!r}, which is no address of this machine: set it to 127.0.0.1, "
                           "or to 0.0.0.0 for visitors from elsewhere.") from error
    # At its start Gradio asks its own server whether it is there. Where proxies are set, as in many offices, it would
    # ask the proxy.
    for variable in ("no_proxy", "NO_PROXY"):
        own = ("127.0.0.1", "localhost", "::1", name)
        named = [host for host in os.environ.get(variable, "").split(",") if host]
        os.environ[variable] = ",".join(dict.fromkeys([*named, *own]))
    # Nor does it get as far as that with a proxy that its HTTP library cannot use (socks, without socksio).
    for variable, proxy in list(os.environ.items()):
        if variable.lower() in ("all_proxy", "http_proxy", "https_proxy") and proxy.startswith("socks"):
            del os.environ[variable]


@contextmanager
def temporary_files() -> Iterator[Path]:
    """One folder for all that this process, and those that it starts, put among the temporary files; gone at the end.

    The examples, uploads, figures, downloads and measurements alike.
    """
    with tempfile.TemporaryDirectory(prefix="mvit-page-", ignore_cleanup_errors=True) as folder:
        before = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before[0]
            if before[1] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[1]


@contextmanager
def kept_for_good() -> Iterator[None]:
    """While what stays is imported and built: Python does not look for garbage in it, now or later.

    It looks whenever there is more, so that this takes a fifth of the time in which the page starts. What garbage the
    imports leave (some megabytes) stays too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_by_signals() -> threading.Event:
    """An event that is set when somebody asks this process to end.

    Said explicitly, since the first process of a container ignores what it has no handler for.
    """
    asked = threading.Event()
    for name in ENDINGS:
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), lambda *_: asked.set())
    return asked

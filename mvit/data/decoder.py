"""Strangers' pictures are read beside the page, in processes that may end: bounded in time and memory.

One process (``python -m mvit.data.decoder``) has Pillow loaded and waits. For each picture it forks a child, which has
``SECONDS`` and ``MEGABYTES``, sends the few pixels that the network sees, and ends, whatever it came upon: an endless
file, too little memory, a fault in a decoder. The kernel keeps the limits and clears up. When the page ends, however
it does, the connection is closed, and so both end. (A Mac's kernel keeps no limit of memory; on Windows there are no
such processes, and no limits.)

A pool of workers (of multiprocessing, and so of concurrent.futures and pebble) would import the whole page again in
every worker, and after every picture that took one down.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from PIL import Image

from mvit.data.pictures import PictureError, load_picture, to_network_size
from mvit.storage.files import ROOT

FORKS = hasattr(os, "fork")  # not on Windows, where the page reads pictures itself
if FORKS:
    import resource

SECONDS = 2
MEGABYTES = 450  # 50 megapixels decoded, once more as RGB, and what the process has anyway
AT_ONCE = 3  # children, so that two slow ones do not hold up the others; beyond it pictures wait for their turn
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # who forks has no threads
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # a child's memory is new: in large pages that takes a third less time
}
PIXELS, REFUSAL = b"+", b"-"  # an answer's first byte
UNREADABLE = "This picture takes too long to read, or too much memory: please save it smaller, as JPEG or PNG."

# --------------------------------------------------------------------------- in the page


class Reader:
    """Reads pictures in processes of their own; may be called from several threads."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # the one that waits
        self._connection = socket.socket()  # to it, once it is there

    def __call__(self, file: str | Path, size: int) -> Image.Image:
        """What :func:`mvit.data.pictures.load_picture` and :func:`mvit.data.pictures.to_network_size` make of a file.

        Returns:
            An RGB picture of size x size pixels.

        Raises:
            PictureError: as ``load_picture``; also where it takes too much time or memory.
        """
        if not FORKS:
            return to_network_size(load_picture(file), size)
        with self._turns:
            ours, its = socket.socketpair()
            with ours:
                with its:
                    ours.sendall(json.dumps([os.path.abspath(file), size]).encode())
                    ours.shutdown(socket.SHUT_WR)
                    self._hand_over(its)
                answer = _all_of(ours)
        if answer[:1] == REFUSAL:
            raise PictureError(answer[1:].decode())
        if answer[:1] != PIXELS or len(answer) != 1 + 3 * size**2:  # it was ended
            raise PictureError(UNREADABLE)
        return Image.frombytes("RGB", (size, size), answer[1:])

    def start(self) -> None:
        """Start the process that waits if there is none, so that the first picture does not wait for it."""
        with self._lock:
            if FORKS:
                self._start()

    def close(self) -> None:
        """End the process that waits, as the end of the page does too."""
        with self._lock:
            if self._process is not None:
                self._connection.close()
                self._process.wait()
                self._process = None

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._connection, its = socket.socketpair()
        with its:  # in a session of its own: Ctrl-C is for the page, and its end is the end of the connection
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "mvit.data.decoder"], cwd=ROOT,
                env={**os.environ, **ENVIRONMENT},
                stdin=its.fileno(), stdout=subprocess.DEVNULL, start_new_session=True)

    def _hand_over(self, its: socket.socket) -> None:
        with self._lock:
            self._start()
            with suppress(OSError):  # killed in this moment: there will be no answer
                socket.send_fds(self._connection, [b"."], [its.fileno()])


def _all_of(stream: socket.socket) -> bytes:
    """What comes until the other side ends."""
    stream.settimeout(3 * SECONDS)  # a child has ended long before
    try:
        with stream.makefile("rb") as file:
            return file.read()
    except OSError:
        return b""


# --------------------------------------------------------------------------- in the process that waits


def main() -> None:
    """Fork a child for every connection that comes through standard input, until that is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    connection = socket.socket(fileno=os.dup(0))
    Image.init()  # loads all of Pillow's plugins: not in every child
    gc.freeze()  # what is never collected stays shared with the children
    while True:
        byte, connections, _, _ = socket.recv_fds(connection, 1, 1)
        if not byte:
            os.killpg(0, signal.SIGKILL)  # also the children
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders say of damaged files
            _answer(socket.socket(fileno=connections[0]))
            os._exit(0)
        os.close(connections[0])


def _answer(page: socket.socket) -> None:
    file, size = json.loads(_all_of(page))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)  # SIGALRM ends the process, whatever code it is in
    with suppress(ValueError):  # a Mac's process has more from the beginning; the time is a limit all the same
        resource.setrlimit(resource.RLIMIT_DATA, (MEGABYTES << 20, MEGABYTES << 20))
    try:
        answer = PIXELS + to_network_size(load_picture(file), size).tobytes()
    except PictureError as error:
        answer = REFUSAL + str(error).encode()
    page.sendall(answer)


if __name__ == "__main__":
    main()

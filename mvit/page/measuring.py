"""A visitor's measurement on this machine: the benchmark in a process of its own, one at a time."""

import html
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from mvit.page.checkpoints import folder_of
from mvit.storage.files import ROOT, read_json

LIMIT = 30  # seconds after which no further turn begins: a turn of all takes some, and so does the start

# The measurement under way, by the visitor's session: one at a time, so that none disturbs another.
measuring: dict[str, subprocess.Popen] = {}
one_at_a_time = threading.Lock()


def measure_here(checkpoint: str, request: gr.Request) -> Iterator[tuple]:
    """Run the benchmark in a process of its own and follow it: (progress, result) until it is done or stopped."""
    if not one_at_a_time.acquire(blocking=False):
        yield "Somebody is measuring just now. Try again in a minute.", gr.skip()
        return
    try:
        with tempfile.TemporaryDirectory(prefix="mvit-measure-") as folder:
            log, output = Path(folder) / "log", Path(folder) / "result.json"
            # The fastest of what needs nothing but torch, for every network: fused; where that cannot be had, frozen.
            command = [sys.executable, "-m", "mvit.benchmark", "--checkpoint", str(folder_of(checkpoint)), "--quick",
                       "--variant", "frozen", "--variant", "fused", "--rounds", "5", "--seconds", str(LIMIT),
                       "--device", "cpu", "--output", str(output), "--attended"]
            with open(log, "w") as stream:  # in a session of its own, to be ended with all that it starts
                process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                           stderr=stream, start_new_session=True)
            measuring[request.session_hash], begin = process, time.monotonic()
            while process.poll() is None:
                yield progress_bar(log, LIMIT - (time.monotonic() - begin)), gr.skip()
                time.sleep(0.3)
            if process.returncode == 0:
                yield "Done: the chart shows this machine, for you alone.", read_json(output)
            elif process.returncode < 0:  # by a signal: ours
                yield "Stopped.", gr.skip()
            else:
                last = (log.read_text().strip().splitlines() or ["no reason given"])[-1]
                yield f"This could not be measured: {html.escape(last)}", gr.skip()
    finally:
        stop_measuring(request)
        one_at_a_time.release()


def progress_bar(log: Path, left: float) -> str:
    """How far the benchmark's last line says it is; ``left`` seconds until the last turn begins."""
    steps = re.findall(r"^(.+) (\d+)/(\d+)$", log.read_text(), re.MULTILINE)
    what, done, total = steps[-1] if steps else ("starting", 0, 1)
    until = f"at most about {left:.0f} s left" if left > 0 else "the last turn"
    return f"<progress value='{done}' max='{total}' aria-label='{what}'></progress> {what}, {done} of {total}; {until}"


def stop_measuring(request: gr.Request) -> None:
    """End this visitor's measurement, if there is one; what follows it sees that it has ended."""
    process = measuring.pop(request.session_hash, None)
    if process:
        kill(process)


def stop_all() -> None:
    """End every measurement."""
    while measuring:
        kill(measuring.popitem()[1])


def kill(process: subprocess.Popen) -> None:
    """End a process and those that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

"""Where the page listens, and that nothing of it is left when it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import demo
from mvit import MobileViT
from mvit.storage.files import ROOT
from tests.page.conftest import running

# As many offices have it, where a proxy knows nothing of this machine.
PROXIES = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "intranet",
           "all_proxy": "socks5://127.0.0.1:9"}


@pytest.fixture
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture
def small(tiny, tmp_path_factory) -> tuple[str, str]:
    """Options of a page that is there soon: with weights that are not compared with the shipped ones."""
    weights = tmp_path_factory.mktemp("weights")
    MobileViT(tiny).save_pretrained(weights)
    return "--checkpoint", str(weights)


def started_by(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    parents = [tuple(map(int, line.split())) for line in lines]
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents if parent in found}
    return found - {pid}


def gone(pids: set[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        states = subprocess.run(["ps", "-o", "state=", "-p", ",".join(map(str, pids))], capture_output=True, text=True)
        if not [state for state in states.stdout.split() if state != "Z"]:
            return True
        time.sleep(0.05)
    return False


def measure(browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/?tab=efficiency")
    page.get_by_role("button", name="Measure on this machine").click()
    page.get_by_text(re.compile("preparing|measuring")).wait_for(timeout=30_000)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_nothing_is_left_two_seconds_after_the_end(browser, small, tmp_path, log, name):
    with running(log, options=small, TMPDIR=str(tmp_path), **PROXIES) as (address, process):
        measure(browser, address)
        started = started_by(process.pid)
        assert len(started) >= 2  # who reads pictures, and who measures
        assert list(tmp_path.iterdir())
        process.send_signal(getattr(signal, name))
        assert gone({process.pid, *started}, seconds=2)
        assert process.wait() == 0
        assert list(tmp_path.iterdir()) == []
        assert "Traceback" not in log.read_text()


def test_a_measurement_ends_with_a_server_that_is_killed(browser, small, tmp_path, log):
    with running(log, options=small, TMPDIR=str(tmp_path)) as (address, process):
        measure(browser, address)
        started = started_by(process.pid)
        process.kill()
        assert gone(started, seconds=2)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux")
def test_the_first_process_of_a_container_ends_when_it_is_asked_to(small, tmp_path, log):
    with running(log, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                 options=small, TMPDIR=str(tmp_path)) as (_, process):
        (first,) = [pid for pid in started_by(process.pid)
                    if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
                    and "demo.py" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(first, signal.SIGTERM)
        assert gone({process.pid, first}, seconds=2)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("variable", "value"), [
    ("GRADIO_SERVER_PORT", "abc"), ("GRADIO_SERVER_PORT", "0"), ("GRADIO_SERVER_PORT", "70000"),
    ("GRADIO_SERVER_PORT", "-1"), ("GRADIO_SERVER_NAME", "nowhere.invalid"), ("GRADIO_SERVER_NAME", "192.0.2.1"),
])
def test_an_address_that_is_none_is_said_in_one_line(variable, value, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(demo, "end_by_signals", lambda: None)  # which would be this process's
    assert demo.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable} is '{value}'")


def test_weights_that_cannot_be_used_are_said_in_one_line(tmp_path):
    result = subprocess.run([sys.executable, "demo.py", "--checkpoint", str(tmp_path)], cwd=ROOT, capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Cannot load {tmp_path}")

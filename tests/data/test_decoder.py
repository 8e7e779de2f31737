"""The processes that read strangers' pictures: what they give, what they bear, and when they end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mvit.data.decoder import MEGABYTES, UNREADABLE, Reader
from mvit.data.pictures import PictureError, load_picture, to_network_size
from tests.data.hostile import HURTS, family, good_files, mutated, read_all, resident

ROOT = Path(__file__).parent.parent.parent
QUICKLY_MADE = ("JPEG of 1,500 scans", "PNG of 1 x 50,000,000", "PPM with a comment of 20 MB", "16-bit PNG",
                "TIFF with a huge tile")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def slow(tmp_path) -> Path:
    """A file that takes longer than it may."""
    (tmp_path / "slow").write_bytes(HURTS["PPM with a comment of 20 MB"]())
    return tmp_path / "slow"


def waiting(condition, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return bool(met)


def children_of(process: int) -> list[int]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.fixture
def reader():
    """A reader, and the process that it has started."""
    before = set(family(os.getpid()))
    reader = Reader()
    reader.start()
    (process,) = set(family(os.getpid())) - before
    yield reader, process
    reader.close()


def test_what_is_read_elsewhere_is_what_is_read_here(reader, tmp_path):
    for name, content in good_files().items():
        (tmp_path / name).write_bytes(content)
        for size in (32, 8):
            assert reader[0](tmp_path / name, size) == to_network_size(load_picture(tmp_path / name), size), name


def test_refusals_are_the_same(reader, tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    for file in (tmp_path / "cat.png", tmp_path / "none", tmp_path, "cat\0.png", "cat\ud800.png"):
        with pytest.raises(PictureError) as here:
            load_picture(file)
        with pytest.raises(PictureError) as elsewhere:
            reader[0](file, 32)
        assert str(elsewhere.value) == str(here.value)


def test_files_that_hurt_and_hundreds_of_mutated_ones_are_read_or_refused_in_time_and_memory_while_others_are_served():
    rng = random.Random(0)
    files = [*((name, HURTS[name]()) for name in QUICKLY_MADE), *(("mutated", mutated(rng)) for _ in range(300))]
    readings, good, largest = read_all(files)
    print(f"longest {max(reading.seconds for reading in readings):.2f} s, largest {largest / 1e6:.0f} MB; others "
          f"waited {max(reading.seconds for reading in good):.2f} s at most")
    assert [reading for reading in readings if reading.seconds > 3] == []
    assert largest < 500e6
    assert UNREADABLE in {reading.refusal for reading in readings}
    assert {reading.refusal for reading in good} == {None}
    assert sorted(reading.seconds for reading in good)[len(good) // 2] < 0.5


@pytest.mark.parametrize("sign", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_over_a_picture_is_replaced(reader, slow, sign):
    read, process = reader
    said = []

    def send():
        try:
            read(slow, 32)
        except PictureError as error:
            said.append(str(error))

    thread = threading.Thread(target=send)
    thread.start()
    assert waiting(lambda: children_of(process))
    os.kill(int(children_of(process)[0]), sign)
    thread.join()
    assert said == [UNREADABLE]
    with pytest.raises(PictureError, match="no such file"):
        read(slow.with_name("none"), 32)


def test_the_process_that_waits_is_started_anew_if_it_was_killed(reader, tmp_path):
    read, process = reader
    os.kill(process, signal.SIGKILL)
    (tmp_path / "good").write_bytes(good_files()["PNG"])
    # A zombie: its sockets are closed too. (Its program is gone before they are.)
    assert waiting(lambda: Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert read(tmp_path / "good", 32).size == (32, 32)


def test_nothing_is_left_when_the_page_is_killed_over_a_picture(slow):
    code = f"from mvit.data.decoder import Reader; Reader()({str(slow)!r}, 32)"
    page = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        assert waiting(lambda: len(family(page.pid)) == 2)
        processes = family(page.pid)
    finally:
        page.kill()
        page.wait()
    assert waiting(lambda: not any(map(resident, processes)), seconds=1)


def test_the_process_that_waits_is_small():
    code = "import sys, mvit.data.decoder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    assert MEGABYTES < 500

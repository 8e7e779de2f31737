"""Pictures between the page and the server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from mvit.page.pictures import figure_file, pack, unpack


def test_a_figure_s_file_is_whole_while_others_make_the_same(tmp_path):
    figure = Image.effect_noise((640, 640), 90)
    file = Path(figure_file(figure, tmp_path))
    size, sizes, done = file.stat().st_size, set(), threading.Event()

    def watch():
        while not done.is_set():
            sizes.add(len(file.read_bytes()))

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        assert {*pool.map(lambda _: figure_file(figure, tmp_path), range(40))} == {str(file)}
        done.set()
        watcher.result()
    assert sizes == {size}
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert Image.open(file).tobytes() == figure.tobytes()


def test_the_picture_that_the_page_keeps_comes_back_as_it_was():
    picture = Image.effect_noise((32, 32), 60).convert("RGB")
    assert unpack(pack(picture)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("pixels", [None, 3, "", "no base64", "AAAA" * 5, "A" * 10_000_000])
def test_pixels_that_the_page_never_sent_are_refused(pixels):
    with pytest.raises(gr.Error, match="no picture"):
        unpack(pixels)

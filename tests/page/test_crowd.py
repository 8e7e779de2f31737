"""What is made once for everybody, and what is refused."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from PIL import Image

import demo
from mvit.page.crowd import made_once
from mvit.storage.files import version


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> str:
    """A copy of the reference weights that the page offers."""
    copy = tmp_path / "weights"
    shutil.copytree(demo.CHECKPOINTS / "reference", copy)
    monkeypatch.setattr(demo, "begun_with", [copy])
    return str(copy)


def test_of_many_who_ask_at_once_one_makes_it():
    made = []

    @made_once(maxsize=4)
    def make(key):
        time.sleep(0.02)
        made.append(key)
        return key, threading.get_ident()

    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(make, [1] * 8))
    assert (len(results), made) == (1, [1])


def test_charts_are_drawn_once_for_each_version_of_the_files(checkpoint, monkeypatch):
    drawn = []
    monkeypatch.setattr(demo.charts, "svg", lambda *_: drawn.append(1) or "<svg/>")
    assert demo.training_figures(checkpoint) == demo.training_figures(checkpoint)
    assert len(drawn) == 4
    os.utime(os.path.join(checkpoint, "history.json"), ns=(1, 1))
    demo.training_figures(checkpoint)
    assert len(drawn) == 8


def test_the_figures_of_one_picture_are_made_once_for_each_version_of_the_weights(checkpoint, monkeypatch):
    looked, look_inside = [], demo.look_inside
    monkeypatch.setattr(demo, "look_inside", lambda *arguments: looked.append(1) or look_inside(*arguments))
    pixels = demo.pack(Image.effect_noise((32, 32), 60).convert("RGB"))
    first = demo.unfold(pixels, checkpoint, 2, demo.PLACE)
    made = len(looked)
    assert made > 0
    assert demo.unfold(pixels, checkpoint, 2, demo.PLACE) == first
    assert len(looked) == made
    os.utime(os.path.join(checkpoint, "probes.safetensors"), ns=(1, 1))
    demo.unfold(pixels, checkpoint, 2, demo.PLACE)
    assert len(looked) == 2 * made


def test_a_folder_s_version_changes_with_its_files(tmp_path):
    versions = [version(tmp_path / "none"), version(tmp_path)]
    for text in ("a", "ab"):
        (tmp_path / "file").write_text(text)
        versions.append(version(tmp_path))
    assert versions[:2] == [(), ()]
    assert len(set(versions)) == 3
    assert version(tmp_path) == versions[-1]


def test_the_picture_that_the_page_keeps_comes_back_as_it_was():
    picture = Image.effect_noise((32, 32), 60).convert("RGB")
    assert demo.unpack(demo.pack(picture)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("pixels", [None, 3, "", "no base64", "AAAA" * 5, "A" * 10_000_000])
def test_pixels_that_the_page_never_sent_are_refused(pixels):
    with pytest.raises(gr.Error, match="no picture"):
        demo.unpack(pixels)


def test_weights_that_the_page_does_not_offer_are_refused(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "other")
    assert demo.usable(checkpoint)
    for other in (str(tmp_path / "other"), None, ["x"]):
        with pytest.raises(gr.Error, match="does not offer"):
            demo.usable(other)

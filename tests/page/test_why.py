"""“Why this answer?”: a map for the class that was answered, or another; crafted values are answered in words."""

import gradio as gr
import pytest
from PIL import Image

from mvit.page.pictures import pack
from mvit.page.why import explain_answer, explain_class
from tests.page.conftest import REFERENCE, upload


@pytest.fixture
def pixels(drawn) -> str:
    return pack(Image.open(drawn["frog"]).convert("RGB").resize((32, 32)))


def test_another_class_has_another_map_and_its_own_words(pixels):
    (frog, scale, words), (truck, other_scale, other_words) = (
        explain_class(name, pixels, REFERENCE.name) for name in ("frog", "truck"))
    assert frog.size == truck.size
    assert frog.tobytes() != truck.tobytes()
    assert "“frog”" in words
    assert "8 × 8 tokens" in words
    assert "“truck”" in other_words
    assert scale != other_scale  # each map's brightest colour has its own number


def test_the_answer_is_explained_first_and_nothing_without_one(pixels):
    section, chosen, *shown = explain_answer({"cat": 0.2, "frog": 0.8}, pixels, REFERENCE.name)
    assert section.visible
    assert chosen.value == "frog"
    assert shown == list(explain_class("frog", pixels, REFERENCE.name))
    for nothing in (None, {}):
        hidden, *others = explain_answer(nothing, pixels, REFERENCE.name)
        assert not hidden.visible
        assert others == [gr.skip()] * 4


def test_an_answer_of_weights_that_were_left_is_not_explained_by_others(pixels):
    assert explain_answer({"rose": 0.8, "tulip": 0.2}, pixels, REFERENCE.name) == (gr.skip(),) * 5


@pytest.mark.parametrize("name", ["wolf", None, 3, ["cat"], {"cat": 1}, "../cat"])
def test_a_class_that_there_is_not_is_said_in_words(pixels, name):
    with pytest.raises(gr.Error, match="no such class"):
        explain_class(name, pixels, REFERENCE.name)


@pytest.mark.parametrize("crafted", ["", "x", "QUJD" * 10**6, None, 7])
def test_pixels_that_are_none_are_said_in_words(crafted):
    with pytest.raises(gr.Error, match="no picture"):
        explain_class("cat", crafted, REFERENCE.name)


def test_the_map_follows_the_answer_and_a_click_on_a_class(page, drawn):
    assert page.get_by_text("Dropdown", exact=True).count() == 0  # nothing made for an answer stands on the page
    page.get_by_text("speaks for “airplane”").wait_for()  # the example that the page begins with
    upload(page, drawn["ship"])
    figure = page.locator("#why img")
    figure.wait_for()
    page.get_by_text("speaks for “ship”").wait_for()
    of_ship = figure.get_attribute("src")
    page.get_by_test_id("cat-confidence-set").click()
    page.get_by_text("speaks for “cat”").wait_for()
    page.wait_for_function("before => document.querySelector('#why img').src != before", arg=of_ship)
    assert page.locator("#why-class input").input_value() == "cat"
    page.get_by_label("Remove Image").first.click()
    page.get_by_text("speaks for “airplane”").wait_for()

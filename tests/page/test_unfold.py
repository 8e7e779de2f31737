"""The Unfold tab around the drawing: whose picture it shows, what the address says of it, and what is described."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from mvit import MobileViT
from mvit.data.pictures import load_picture
from mvit.page import checkpoints
from mvit.page.checkpoints import usable
from mvit.page.pictures import pack
from mvit.page.unfold import choose, described, example_named, experiment, link, own_picture, weights_named
from tests.page.conftest import REFERENCE, SHIPPED, slow_line, upload, wait_for_answer

DRAWING = "document.querySelector('.network-drawing').drawing"


def says(page, name: str, of: str = "strong") -> None:
    """Wait until the drawing shows that answer, of those weights."""
    page.wait_for_function(f"""([name, of]) => document.querySelector('.says')?.textContent === name
        && ({DRAWING}.description.link.weights ?? 'strong') === of""", arg=[name, of], timeout=20_000)


def wait_for_address(page, query: str) -> None:
    page.wait_for_function("query => location.search === query", arg=query)


def test_the_drawing_shows_the_picture_that_was_classified_and_those_that_are_chosen_in_it(page, drawn, tmp_path):
    upload(page, drawn["ship"])
    wait_for_answer(page, "ship")
    page.get_by_role("tab", name="Unfold").click()
    says(page, "ship")
    page.get_by_role("group", name="Pictures to choose from").get_by_role("button", name="cat").click()
    says(page, "cat")
    load_picture(drawn["frog"]).crop((0, 0, 250, 250)).save(tmp_path / "mine.png")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Your own picture").click()
    chooser.value.set_files(tmp_path / "mine.png")
    says(page, "frog")
    assert page.locator(".example[aria-pressed=true]").count() == 0


def test_the_address_names_the_picture_once_it_is_drawn(page):
    page.get_by_role("button", name="ship", exact=True).click()
    wait_for_answer(page, "ship")
    page.get_by_role("tab", name="Unfold").click()
    says(page, "ship")
    wait_for_address(page, "?tab=unfold&example=ship")
    page.go_back()  # no entry of its own
    page.wait_for_function("!location.search.includes('unfold')")


def test_of_two_quick_clicks_the_last_is_drawn(page):
    page.get_by_role("tab", name="Unfold").click()
    says(page, "airplane")
    with slow_line(page):
        for name in ("ship", "dog"):
            page.get_by_role("button", name=name, exact=True).click()
        says(page, "dog")
    wait_for_address(page, "?tab=unfold&example=dog")


def test_going_back_in_a_hurry_keeps_what_lies_ahead(page):
    page.get_by_role("tab", name="Unfold").click()
    says(page, "airplane")
    entries = ["?tab=unfold"]
    for name, of in (("ship", "strong"), ("ship", "reference"), ("dog", "reference")):
        if of == "reference" and "weights" not in entries[-1]:
            page.get_by_label("Weights").click()
            page.get_by_role("option", name=of).click()
        else:
            page.get_by_role("button", name=name, exact=True).click()
        says(page, name, of=of)
        entries.append(f"?tab=unfold&example={name}" + "&weights=reference" * (of == "reference"))
        wait_for_address(page, entries[-1])
    with slow_line(page):
        for _ in range(3):
            page.evaluate("history.back()")
            page.wait_for_timeout(100)
        says(page, "airplane", of="strong")
    wait_for_address(page, entries[0])
    for entry in entries[1:]:
        page.go_forward()
        wait_for_address(page, entry)
    says(page, "dog", of="reference")


def test_an_example_is_chosen_for_the_weights_of_that_moment():
    def chosen(**names):
        return choose(SimpleNamespace(_data=names), REFERENCE.name)

    cat = example_named("cat", REFERENCE.name)
    assert chosen(example="cat") == (cat, gr.skip())
    assert chosen(example="cat", weights=None) == (cat, SHIPPED[0].name)
    assert chosen(example="cat", weights="gone") == (gr.skip(), gr.skip())
    assert chosen(weights=None) == (gr.skip(), SHIPPED[0].name)


def test_a_network_of_too_many_tokens_is_not_drawn_and_that_is_said(tmp_path, tiny, monkeypatch, drawn):
    MobileViT(replace(tiny, image_size=160)).save_pretrained(tmp_path / "large")
    monkeypatch.setattr(checkpoints, "begun_with", [tmp_path / "large"])
    said = json.loads(described(pack(load_picture(drawn["ship"])), "large"))
    assert said == {"words": "This network sees 160 × 160 pixels; the drawing is for at most 128."}


def test_a_picture_of_one_s_own_that_is_none_is_said_so(tmp_path):
    (tmp_path / "bad.png").write_text("not a cat")
    with pytest.raises(gr.Error, match="not a picture"):
        own_picture(str(tmp_path / "bad.png"), SHIPPED[0].name)


def test_weights_that_are_switched_quickly_end_with_the_last_chosen(page, drawn):
    page.get_by_role("tab", name="Unfold").click()
    says(page, "airplane")
    for name in ("reference", "strong", "reference"):
        page.get_by_label("Weights").click()
        page.get_by_role("option", name=name).click()
    says(page, "airplane", of="reference")
    page.wait_for_timeout(500)  # nor does an earlier one come later
    says(page, "airplane", of="reference")
    confidence = usable(REFERENCE.name)(load_picture(drawn["airplane"])).best[1]
    assert max(page.evaluate(f"{DRAWING}.description.answer")) == pytest.approx(confidence, abs=1e-3)
    page.get_by_role("tab", name="Training").click()
    page.get_by_role("img", name="accuracy by epoch, after 20 epochs").wait_for()
    assert page.get_by_test_id("toast-body").count() == 0


def test_the_address_says_what_is_chosen_and_brings_it_back(page, server):
    page.get_by_role("tab", name="Unfold").click()
    says(page, "airplane")
    wait_for_address(page, "?tab=unfold")
    page.get_by_role("button", name=re.compile("^Block 3: .* Open it$")).click()
    wait_for_address(page, "?tab=unfold&block=3&layer=2")
    page.locator(".surface").click(position={"x": 5, "y": 5})
    wait_for_address(page, "?tab=unfold&block=3&layer=2&token=1.1")
    page.get_by_role("button", name="ship", exact=True).click()
    says(page, "ship")
    page.get_by_label("Weights").click()
    page.get_by_role("option", name="reference").click()
    says(page, "ship", of="reference")
    whole = "?tab=unfold&block=3&layer=2&token=1.1&example=ship&weights=reference"
    wait_for_address(page, whole)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The link is copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == server + "/" + whole
    page.get_by_role("tab", name="Training").click()
    wait_for_address(page, "?tab=training&example=ship&weights=reference")

    page.go_back()
    page.get_by_role("tab", name="Unfold", selected=True).wait_for()
    wait_for_address(page, whole)
    page.go_back()
    says(page, "ship")
    page.go_back()
    says(page, "airplane")
    wait_for_address(page, "?tab=unfold&block=3&layer=2&token=1.1")
    page.go_back()
    page.wait_for_function(f"{DRAWING}.state === 'block=3&layer=2'")
    page.go_back()
    page.wait_for_function(f"{DRAWING}.state === ''")
    page.go_forward()
    page.wait_for_function(f"{DRAWING}.state === 'block=3&layer=2'")

    page.goto(f"{server}/{whole}&head=4&__theme=dark")
    says(page, "ship", of="reference")
    page.reload()
    says(page, "ship", of="reference")
    assert page.evaluate(f"{DRAWING}.state") == "block=3&layer=2&head=4&token=1.1"
    assert page.url.endswith(whole + "&head=4&__theme=dark")
    assert page.get_by_label("Weights").input_value() == "reference"


def test_names_in_an_address_that_there_are_not_change_nothing(page, server):
    page.goto(f"{server}/?tab=unfold&example=dragon&weights=huge&block=7&token=x")
    says(page, "airplane")
    page.get_by_role("button", name=re.compile("^Block 1: .* Open it$")).click()
    wait_for_address(page, "?tab=unfold&block=1&layer=1")


def test_names_stand_for_pictures_and_weights(drawn):
    strong, reference, *_ = (path.name for path in SHIPPED)
    assert [weights_named(name) for name in (None, "reference", "huge")] == [strong, reference, None]
    ship = pack(usable(strong)(load_picture(drawn["ship"])).seen)
    assert (example_named("ship", strong), example_named("dragon", strong)) == (ship, None)
    assert example_named(None, strong) == example_named("airplane", strong)
    assert link("airplane", strong) == {"example": None, "weights": None}
    assert link("ship", reference) == {"example": "ship", "weights": "reference"}


def test_what_is_described_names_its_example(drawn):
    strong = SHIPPED[0].name
    for name, file in drawn.items():
        assert json.loads(described(pack(usable(strong)(load_picture(file)).seen), strong))["example"] == name
    mine = pack(load_picture(drawn["ship"]).crop((0, 0, 32, 32)))
    assert json.loads(described(mine, strong))["example"] == "yours"


def test_weights_that_the_page_does_not_offer_are_not_experimented_with(drawn, tmp_path):
    subject = {"pixels": example_named(None, SHIPPED[0].name), "checkpoint": str(tmp_path)}
    assert "does not offer" in experiment({"subject": subject, "change": {}, "classes": []})["error"]
    with pytest.raises(gr.Error, match="does not offer"):
        described(subject["pixels"], str(tmp_path))

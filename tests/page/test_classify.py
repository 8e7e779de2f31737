"""The Classify tab and its endpoint."""

import re

import gradio as gr
import pytest
from PIL import Image

from mvit.data.examples import EXAMPLES
from mvit.data.pictures import load_picture
from mvit.inference.classifier import Answer
from mvit.page.checkpoints import folder_of, load_classifier
from mvit.page.classify import WELCOME, compare, remark, show_answer
from mvit.page.pictures import pack
from tests.page.conftest import REFERENCE, SHIPPED, slow_line, upload, wait_for_answer


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.name)
def test_most_examples_are_classified_rightly(drawn, checkpoint):
    """The shipped weights name these; the tower is none of the ten and is not among them."""
    classifier = load_classifier(checkpoint)
    right = {name for name in EXAMPLES if classifier(load_picture(drawn[name])).best[0] == name}
    assert len(EXAMPLES) >= 5
    assert right == set(EXAMPLES)
    assert "tower" in drawn
    assert "tower" not in classifier.model.config.class_names


def test_the_page_reports_a_bad_file_in_the_page(tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    label, shown, remark, _, pixels = show_answer(str(tmp_path / "cat.png"), REFERENCE.name, "")
    assert (label, shown) == (None, None)
    assert "not a picture" in remark
    assert pixels == gr.skip()  # the Unfold tab keeps its picture


def test_without_a_picture_an_example_is_answered(drawn):
    label, shown, remark, _, pixels = show_answer(None, REFERENCE.name, "")
    assert label == load_classifier(REFERENCE)(load_picture(drawn["airplane"])).confidences
    assert shown.size == (320, 320)
    assert remark == WELCOME
    assert pixels == gr.skip()


def test_the_same_picture_by_all_weights(drawn):
    seen = load_classifier(REFERENCE)(load_picture(drawn["cat"])).seen
    table = compare({"ship": 1.0}, pack(seen), REFERENCE.name)
    for checkpoint in SHIPPED:
        name, confidence = load_classifier(checkpoint)(seen).best
        chosen = " (chosen)" if checkpoint == REFERENCE else ""
        assert f"{checkpoint.name}{chosen}</th><td>{name}</td><td>{confidence:.0%}</td>" in table


def test_the_page_reports_a_bad_checkpoint_in_the_page(drawn, checkpoint):
    folder = folder_of(checkpoint)
    (folder / "config.json").write_text("null")
    label, _, remark, *_ = show_answer(str(drawn["tower"]), checkpoint, "")
    assert label is None
    assert "Cannot load weights" in remark
    assert str(folder) not in remark


def test_remarks():
    def answer(confidence, right):
        reliability = {"confidence_from": 0.4, "confidence_to": 0.5, "images": 1234, "accuracy": right}
        return Answer({"cat": confidence, "dog": 1 - confidence}, None, 2.5, reliability if right else None)

    sure, unsure = remark(answer(0.9, 0.97), 10), remark(answer(0.9, 0.4), 10)
    assert "Not sure" not in sure
    assert "**97%** of 1,234" in sure
    assert "Not sure" in unsure
    assert "Not sure" in remark(answer(0.55, None), 10)
    assert "2.5 ms" in sure


def test_of_a_picture_that_looks_like_nothing_before_no_percentage_is_claimed():
    measured = {"confidence_from": 0.9, "confidence_to": 1.0, "images": 1234, "accuracy": 0.98}
    known = Answer({"cat": 0.9, "dog": 0.1}, None, 2.5, measured, "the test split")
    strange = Answer({"cat": 0.9, "dog": 0.1}, None, 2.5, measured, "the test split", unusual=0.06)
    assert "98%" in remark(known, 10)
    assert "evaluation pictures (the test split)" in remark(known, 10)  # of which images it is true
    assert "looks like nothing" not in remark(known, 10)
    assert "looks like nothing it was trained on" in remark(strange, 10)
    assert "98%" not in remark(strange, 10)
    assert "1,234" not in remark(strange, 10)
    assert "“cat” only comes nearest" in remark(strange, 10)
    assert "Not sure" not in remark(strange, 10)


def test_the_tower_looks_like_nothing_that_the_strong_weights_were_trained_on(drawn):
    """The reference weights take it for a bird, and as familiar."""
    label, _, words, *_ = show_answer(str(drawn["tower"]), SHIPPED[0].name, "")
    assert sum(label.values()) == pytest.approx(1, abs=1e-4)  # the answer stays
    assert "looks like nothing it was trained on" in words
    assert "it was right in" not in words


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.name)
def test_the_drawings_of_known_classes_look_familiar(drawn, checkpoint):
    classifier = load_classifier(checkpoint)
    assert {name for name in EXAMPLES if classifier(load_picture(drawn[name])).unusual is not None} == set()


def test_endpoint(server, drawn, tmp_path):
    from gradio_client import Client, exceptions, handle_file

    client = Client(server, verbose=False)
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(offered) == ["/classify", "/attend"]
    result = client.predict(handle_file(drawn["ship"]), api_name="/classify")
    assert result["label"] == "ship"
    assert len(result["confidences"]) == 10
    assert sum(item["confidence"] for item in result["confidences"]) == pytest.approx(1, abs=1e-4)
    expected = load_classifier(SHIPPED[0])(load_picture(drawn["ship"])).best[1]
    assert result["confidences"][0]["confidence"] == pytest.approx(expected, abs=1e-5)
    deep = tmp_path / "deep.png"  # 16 bits of grey: gr.Image itself would clip it to white
    Image.new("I;16", (32, 32), 20_000).save(deep)
    grey = Image.new("RGB", (32, 32), (78, 78, 78))
    expected = load_classifier(SHIPPED[0])(grey).best
    assert client.predict(handle_file(deep), api_name="/classify")["label"] == expected[0]
    (tmp_path / "cat.png").write_text("not a cat")
    with pytest.raises(exceptions.AppError, match="not a picture"):
        client.predict(handle_file(tmp_path / "cat.png"), api_name="/classify")
    assert client.predict(handle_file(drawn["ship"]), api_name="/classify")["label"] == "ship"  # nothing died


def test_upload_a_picture_and_read_the_answer(page, drawn):
    upload(page, drawn["ship"])
    wait_for_answer(page, "ship")
    assert page.get_by_text(re.compile(r"The network took .* ms")).is_visible()
    seen = page.locator("#seen img")
    source = seen.get_attribute("src")
    assert source.endswith(".png")  # lossless
    assert seen.get_attribute("alt")
    assert seen.evaluate("async image => { await image.decode()  // it may still be on its way\n"
                         "return [image.naturalWidth, image.naturalHeight] }") == [320, 320]


def test_open_an_example(page):
    page.get_by_role("button", name="frog", exact=True).click()
    wait_for_answer(page, "frog")


def test_a_text_file_called_cat_png(page, drawn, tmp_path):
    page.get_by_role("button", name="dog", exact=True).click()  # an example before it changes nothing
    wait_for_answer(page, "dog")
    page.get_by_label("Remove Image").first.click()
    (tmp_path / "cat.png").write_text("not a cat")
    upload(page, tmp_path / "cat.png")
    page.get_by_role("status").get_by_text("not a picture that can be read").wait_for()
    assert page.get_by_test_id("label-output-value").count() == 0
    page.get_by_label("Remove Image").first.click()
    upload(page, drawn["ship"])  # and the page goes on
    wait_for_answer(page, "ship")


def test_it_begins_with_an_answer_to_an_example(page):
    assert page.get_by_test_id("label-output-value").inner_text().strip() == "airplane"
    assert page.get_by_role("status").get_by_text("This is an example").is_visible()
    assert page.get_by_role("row", name="strong (chosen)").is_visible()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_may_be_pasted_or_dropped_anywhere(page, drawn, way):
    page.get_by_role("tab", name="Training").click()
    for name in ("ship", "frog"):  # also where there is a picture already
        page.evaluate("""([way, bytes]) => {
            const data = new DataTransfer()
            data.items.add(new File([Uint8Array.from(bytes)], 'picture.png', {type: 'image/png'}))
            const options = {bubbles: true, cancelable: true}
            document.querySelector('h1').dispatchEvent(way == 'paste'
                ? new ClipboardEvent(way, {...options, clipboardData: data})
                : new DragEvent(way, {...options, dataTransfer: data}))
        }""", [way, list(drawn[name].read_bytes())])
        wait_for_answer(page, name)
        page.get_by_role("tab", name="Classify", selected=True).wait_for()


def test_of_two_quick_clicks_the_last_is_answered(page):
    with slow_line(page):
        page.get_by_role("button", name="ship", exact=True).click()
        page.get_by_role("button", name="dog", exact=True).click()
        wait_for_answer(page, "dog")


def test_going_back_from_other_weights_keeps_the_picture(page, drawn):
    upload(page, drawn["frog"])
    wait_for_answer(page, "frog")
    page.get_by_label("Weights").click()
    page.get_by_role("option", name="reference").click()
    page.wait_for_function("location.search.includes('weights=reference')")
    page.get_by_text("The weights reference:").wait_for()
    page.go_back()
    page.get_by_text("The weights strong:").wait_for()
    page.wait_for_timeout(300)
    wait_for_answer(page, "frog")
    assert page.get_by_alt_text("The picture you gave").count() == 1

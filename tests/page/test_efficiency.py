"""The Efficiency tab in the browser: a measurement on this machine."""

import json
import re
from pathlib import Path

from tests.page.conftest import wait_for_answer, window


def test_cancel_a_measurement_and_measure_on_this_machine_while_others_are_served(page):
    page.get_by_role("tab", name="Efficiency").click()
    chart = page.locator("#efficiency svg")
    chart.wait_for()
    before = chart.get_attribute("aria-label")
    measure, cancel = (page.get_by_role("button", name=name) for name in ("Measure on this machine", "Cancel"))

    measure.click()
    page.locator("progress").wait_for()
    cancel.click()
    page.get_by_text("Stopped.").wait_for(timeout=5000)
    assert chart.get_attribute("aria-label") == before

    measure.click()
    page.get_by_text(re.compile(r"at most about \d+ s left")).wait_for()
    page.get_by_role("tab", name="Classify").click()  # meanwhile others are served
    page.get_by_role("button", name="dog", exact=True).click()
    wait_for_answer(page, "dog")
    page.get_by_role("tab", name="Efficiency").click()
    page.get_by_text("Done: the chart shows this machine").wait_for(timeout=180_000)
    page.wait_for_function("before => document.querySelector('#efficiency svg').ariaLabel != before", arg=before)
    measured = chart.get_attribute("aria-label")
    for what in ("PNG", "SVG", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=what, exact=True).click()
        file = Path(download.value.path())
        if what == "JSON":
            models = json.loads(file.read_text())["models"]
            fps = max(m["fps"] for m in models if m["name"] == "MobileViT-XXS")
            assert f"MobileViT-XXS: {fps:.0f} FPS" in measured
        else:
            assert file.read_bytes()[:5] == {"PNG": b"\x89PNG\r", "SVG": b"<?xml"}[what]
    page.reload()  # for this visitor alone, and this visit
    page.get_by_role("tab", name="Efficiency", selected=True).wait_for()
    page.wait_for_function("label => document.querySelector('#efficiency svg')?.ariaLabel != label", arg=measured)


def test_two_windows_do_not_measure_at_once(visitor, server):
    with window(visitor) as first, window(visitor) as second:
        for page in (first, second):
            page.goto(f"{server}/?tab=efficiency")
            page.get_by_role("button", name="Measure on this machine").click()
            page.get_by_text(re.compile("starting|preparing|Somebody is measuring")).wait_for()
        assert second.get_by_text("Somebody is measuring just now").is_visible()
    with window(visitor) as third:  # the first has left in the middle
        third.goto(f"{server}/?tab=efficiency")
        for _ in range(30):  # the server notices a visitor's leaving after some seconds
            third.get_by_role("button", name="Measure on this machine").click()
            third.get_by_text(re.compile("starting|preparing|Somebody is measuring")).wait_for()
            if third.locator("progress").is_visible():
                break
            third.wait_for_timeout(500)
        third.get_by_role("button", name="Cancel").click()
        third.get_by_text("Stopped.").wait_for()

"""The Training tab."""

import json
import re

from mvit.page.training import _calibrated
from tests.page.conftest import SHIPPED


def test_training_tab_shows_the_files_of_these_weights(page):
    page.get_by_role("tab", name="Training").click()
    last = json.loads((SHIPPED[0] / "history.json").read_text())[-1]
    label = page.get_by_role("img", name=re.compile("accuracy by epoch")).get_attribute("aria-label")
    assert f"train {last['train_accuracy']:.3f}" in label
    assert page.locator(".charts svg").count() == 4


def test_a_temperature_is_praised_only_for_what_it_gained():
    measured = {"temperature": 0.9, "calibration_error": 0.016, "calibration_error_at_temperature_1": 0.03}
    assert "no better" not in _calibrated(measured)
    assert "no better" in _calibrated({**measured, "calibration_error_at_temperature_1": 0.0161})
    assert _calibrated({**measured, "temperature": 1}) == ""

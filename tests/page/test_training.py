"""The Training tab."""

import json
import re

from tests.page.conftest import SHIPPED


def test_training_tab_shows_the_files_of_these_weights(page):
    page.get_by_role("tab", name="Training").click()
    last = json.loads((SHIPPED[0] / "history.json").read_text())[-1]
    label = page.get_by_role("img", name=re.compile("accuracy by epoch")).get_attribute("aria-label")
    assert f"train {last['train_accuracy']:.3f}" in label
    assert page.locator(".charts svg").count() == 4

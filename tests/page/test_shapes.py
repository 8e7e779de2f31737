"""The whole page for weights of another shape, of pictures of one's own: every tab, as a visitor sees it."""

import json
import re
import shutil

import pytest

import train
from tests.page.conftest import running, window

NAMES = sorted([*(f"a rather long name of a class, the {i:02}th" for i in range(9)),
                "<b>&amp;|*x*", "cat", "日本 été 🐈"])
SHAPE = {"image_size": 64, "patch_size": 4, "stem_channels": 4, "stem_residuals": 1, "head_channels": 8,
         "kernel_size": 5, "block_version": 3,
         "stages": [{"channels": 8, "dim": 8, "depth": 1, "heads": 2}]}


@pytest.fixture(scope="module")
def address(folder, tmp_path_factory):
    """Of a page with weights that were trained for an epoch, and with the folder that they were trained on."""
    root = tmp_path_factory.mktemp("shapes")
    for i, name in enumerate(NAMES):
        (root / "mine" / name).mkdir(parents=True)
        for number, file in enumerate(sorted((folder / "train" / ("blue", "green", "red")[i % 3]).iterdir())[i::12]):
            shutil.copy(file, root / "mine" / name / f"{number}{file.suffix}")
    weights = root / "own weights"
    assert train.main(["--data", str(root / "mine"), "--output", str(weights), "--epochs", "1", "--device", "cpu",
                       "--model", json.dumps(SHAPE)]) == 0
    options = ("--checkpoint", str(weights), "--data", str(root / "mine"))
    with running(root / "log", options=options) as (address, _):
        yield address
    assert "Traceback" not in (root / "log").read_text()
    assert "Warning" not in (root / "log").read_text()


@pytest.mark.parametrize("width,scheme", [(1200, "light"), (390, "dark")], ids=["desktop", "phone"])
def test_every_tab_is_of_these_weights_and_their_classes(visitor, address, width, scheme):
    with window(visitor, width, scheme=scheme) as page:
        look_at_all(page, address, width)


def look_at_all(page, address: str, width: int) -> None:
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))

    def fits() -> bool:
        return page.evaluate("document.documentElement.scrollWidth") <= width

    page.goto(address)
    page.wait_for_function("window.mvit?.following")
    assert page.title() == "MobileViT on 12 classes"
    page.get_by_text("trained on 12 classes, pictures of 64 × 64 pixels. The weights own weights: trained for 1 epoch "
                     "with").wait_for()
    offered = page.locator(".gallery button")
    assert offered.all_inner_texts() == NAMES
    page.get_by_text("evaluated on and not trained on, one of each class").wait_for()
    page.get_by_role("button", name="<b>&amp;|*x*", exact=True).click()
    page.get_by_text(re.compile("^It says “.*”, with a confidence of")).wait_for()
    assert page.get_by_test_id("label-output-value").inner_text().strip() in NAMES
    page.locator("#why img").wait_for()
    assert page.get_by_text("weights", exact=True).count() == 0  # others, of other classes, are no comparison
    assert "CIFAR" not in page.locator("body").inner_text()
    assert fits()

    page.get_by_role("tab", name="Unfold").click()
    page.locator(".network-drawing svg [data-stage='block 1']").click()
    page.locator(".network-drawing .surface").wait_for()
    assert page.locator(".network-drawing .example").count() == 12
    words = " ".join(page.locator(".network-drawing .block").text_content().split())
    assert "5 × 5 depthwise" in words
    if width > 390:  # on a phone another panel has it
        assert "1 × 1 convolution, add the input" in words.replace("convolution,add", "convolution, add")
        assert "the input goes around, to be added" in words
    assert page.locator(".network-drawing .example[aria-pressed=true]").get_attribute("aria-label") == "<b>&amp;|*x*"
    page.get_by_role("button", name="in all blocks").click()
    page.get_by_text(re.compile("before, .* now.")).wait_for()
    assert page.get_by_text(re.compile("^(probe, 1?[0-9]{1,2} % right|probe right)")).count()  # training made them
    assert fits()

    page.get_by_role("tab", name="Efficiency").click()
    page.locator("#efficiency svg").wait_for()
    assert fits()

    page.get_by_role("tab", name="Training").click()
    page.locator(".charts svg").nth(3).wait_for()
    page.locator("[data-cell]").first.dispatch_event("click")
    page.locator("#behind").get_by_text("Found here: ").wait_for()
    assert page.locator("#behind img").count()
    assert fits()

    page.goto(f"{address}/?weights=reference&tab=classify")
    page.get_by_role("button", name="airplane", exact=True).wait_for()
    page.wait_for_function("document.title === 'MobileViT-XXS on CIFAR-10'")
    assert errors == []

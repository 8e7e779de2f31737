"""The page on a phone, for those who see little or nothing of it by the rules of axe-core (WCAG 2.2), and on paper."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.page.conftest import window

# Of Gradio's own footer (6.31): an icon with the words beside it as its alternative text.
KNOWN = {"image-redundant-alt"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_link_opens_each_tab_which_fits_a_phone_with_contrasts_names_and_headings(visitor, server, scheme):
    with window(visitor, 390, 844, scheme) as page:
        for tab in ("classify", "unfold", "efficiency", "training"):
            opened(page, f"{server}/?tab={tab}", tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.url.endswith(f"?tab={tab}")
            if tab == "unfold":
                opened(page, f"{server}/?tab=unfold&block=3&layer=2&token=4.5", tab)
                page.locator(".surface").wait_for()
            page.wait_for_timeout(300)  # it fades in
            rules = Axe().run(page).response["violations"]
            found = {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in rules}
            assert found.keys() <= KNOWN, (tab, found)
            page.get_by_role("tab", name="Training").click()
            page.wait_for_function("new URLSearchParams(location.search).get('tab') == 'training'")


def opened(page, address: str, tab: str) -> None:
    page.goto(address)
    page.get_by_role("tab", name=tab.capitalize(), selected=True).wait_for()
    page.wait_for_function("window.mvit?.following")
    page.wait_for_timeout(200)


def test_on_paper_the_dark_page_is_light(visitor, server):
    with window(visitor, scheme="dark") as page:
        page.goto(f"{server}/?tab=training")
        page.get_by_role("heading", level=1).wait_for()
        colours = """() => ['color', 'backgroundColor'].map(of => getComputedStyle(of == 'color'
            ? document.querySelector('h1') : document.body)[of].match(/[0-9]+/g).slice(0, 3).map(Number))"""
        text, behind = page.evaluate(colours)
        assert min(text) > 200 > 50 > max(behind)
        page.emulate_media(media="print")
        text, behind = page.evaluate(colours)
        assert max(text) < 50 < 200 < min(behind)


def test_every_tab_can_be_reached_on_the_narrowest_phone(visitor, server):
    with window(visitor, 320, 640) as page:
        page.goto(server)
        page.get_by_role("button", name="ship", exact=True).wait_for()
        for tab in page.get_by_role("tab").all():
            if tab.is_visible():
                tab.click()
        assert [tab.inner_text() for tab in page.get_by_role("tab").all() if tab.is_visible()][:4] == [
            "Classify", "Unfold", "Efficiency", "Training"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 320

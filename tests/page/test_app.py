"""The page as a whole: links, phones."""

import urllib.request

import pytest

from mvit.storage.files import ROOT


@pytest.fixture(scope="module")
def phone(browser):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context
    context.close()


@pytest.mark.parametrize("tab", ["classify", "unfold", "efficiency", "training"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_links_open_a_tab_which_fits_a_phone(phone, server, tab, scheme):
    page = phone.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_default_timeout(10_000)
    page.goto(f"{server}/?tab={tab}")
    page.get_by_role("tab", name=tab.capitalize(), selected=True).wait_for()
    page.wait_for_function("window.mvit?.following")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.url.endswith(f"?tab={tab}")
    page.get_by_role("tab", name="Training").click()
    page.wait_for_function("location.search == '?tab=training'")
    page.close()


def test_no_folder_of_the_server_is_told(server):
    told = urllib.request.urlopen(f"{server}/config").read().decode()
    assert "strong" in told
    assert str(ROOT) not in told

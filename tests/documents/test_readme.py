"""The README is true: its tables are what the files say, its commands exist, its Python runs."""

import re
from pathlib import Path

import pytest
import torch

from mvit.documents.tables import texts, with_tables

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", texts(ROOT), ids=lambda file: file.parent.name)
def test_tables_are_up_to_date(file):
    text = file.read_text(encoding="utf-8")
    assert with_tables(text, ROOT / "checkpoints", file.parent) == text, "run python -m mvit.card"


def test_files_it_names_are_there():
    for link, picture in re.findall(r'\]\(([\w./-]+)\)|src(?:set)?="([\w./-]+)"', README):
        name = link or picture
        assert (ROOT / name).exists(), name


def test_the_versions_it_names_are_those_that_are_tested():
    tested = "".join((ROOT / file).read_text() for file in ("requirements.txt", "tests/requirements.txt")).split()
    named = re.findall(r"[a-z]+==[\d.]+\d", README)
    assert len(named) >= 4
    assert set(named) <= set(tested)


def test_its_python_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    for block in blocks:
        if "gradio_client" not in block:  # needs the page: tested in test_page.py
            exec(block, names)
    assert names["probabilities"].shape == (1, 10)
    assert names["heat"].shape == (1, 32, 32)
    torch.testing.assert_close(names["heat"].sum(), torch.tensor(16.0))  # one row of attention, 4 x 4 pixels a place


def test_front_matter_is_a_space_s():
    front = dict(re.findall(r"^(\w+): (.*)$", README.split("---")[1], re.MULTILINE))
    assert front["sdk"] == "gradio"
    assert front["app_file"] == "demo.py"
    assert front["license"] == "mit"
    assert len(front["short_description"]) <= 60
    assert f"gradio=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text()

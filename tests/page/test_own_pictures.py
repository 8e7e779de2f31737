"""From a folder of pictures of one's own to the page for them, by the README's commands."""

import re
import shlex
import shutil

import pytest

import demo
import train
from mvit.page import app
from mvit.page.examples import examples
from mvit.storage.files import ROOT


@pytest.fixture
def as_it_was():
    """What a page is built with, put back afterwards."""
    begun_with, at_hand = app.begun_with[:], app.at_hand[:]
    yield
    app.close()
    app.begun_with[:], app.at_hand[:] = begun_with, at_hand


def test_the_readme_s_commands_lead_from_pictures_to_the_page_for_them(folder, tmp_path, capsys, as_it_was):
    mine, output = tmp_path / "my pictures", tmp_path / "runs" / "mine"
    shutil.copytree(folder / "train", mine)  # folders of classes, without test/
    block = re.search(r"<!-- own -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    typed = block[1].replace("PATH", shlex.quote(str(mine))).replace("runs/mine", shlex.quote(str(output)))
    training, page = (shlex.split(line)[1:] for line in typed.splitlines())
    assert training[0] == "train.py"
    assert train.main([*training[1:], "--epochs", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"To see it: {shlex.join(['python', *page])}"
    options = demo.parse(page[1:])
    built = app.build_page([options.checkpoint.resolve()], options.data)
    assert built.title == "MobileViT-XXS on 3 classes"
    assert [each.name for each in examples(output.name).pictures] == ["blue", "green", "red"]

"""What fine-tuning gains: the same few images for all, judged once; the command and its table."""

import json
from dataclasses import replace

import pytest

from mvit.commands import finetuning as command
from mvit.data.images import load_split
from mvit.documents.finetuning import finetuning
from mvit.training.finetuning import accuracies, draw
from mvit.training.settings import RECIPES, Settings


def test_so_many_images_of_each_class_are_drawn_and_the_others_are_left(folder):
    train = load_split(folder, "train")
    few, others = draw(train, 5, seed=1)
    assert few.labels.bincount().tolist() == [5, 5, 5]
    assert len(few) + len(others) == len(train)
    assert not set(few.files) & set(others.files)
    assert draw(train, 5, seed=1)[0].files == few.files != draw(train, 5, seed=2)[0].files


def test_a_network_that_knows_the_images_is_better_from_the_start(folder, finished):
    """With a learning rate of next to nothing it is as good as the weights that it begins with."""
    train, test = load_split(folder, "train"), load_split(folder, "test")
    settings = Settings(epochs=1, batch_size=16, learning_rate=1e-9, weights=str(finished))
    expected = json.loads((finished / "evaluation.json").read_text())["accuracy"]
    assert accuracies(settings, train, test, 5, range(2)) == pytest.approx([expected] * 2, abs=0.04)


def test_the_command_writes_what_the_table_shows(folder, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "finetune", replace(RECIPES["finetune"], epochs=1, batch_size=8))
    output = tmp_path / "finetuning.json"
    assert command.main(["--weights", str(finished), "--data", str(folder), "--images", "4", "--seeds", "2",
                         "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert [trial["what"] for trial in result["trials"]] == [
        "from nothing", "the last layer alone", "recipe `finetune`"]
    assert all(len(trial["accuracies"]) == 2 for trial in result["trials"])
    result["trials"][0]["accuracies"], result["trials"][2]["accuracies"] = [0.5, 0.52], [0.6, 0.64]
    output.write_text(json.dumps(result))
    table = finetuning(output)
    assert "+11.0 (-1.7 to +23.7)" in table  # 10 and 12 points; t = 12.706 for two
    assert "62.00% (standard deviation 2.83)" in table
    assert result["split"] in table
    assert finetuning(tmp_path / "none.json") == "Not measured yet.\n"


def test_what_cannot_be_fine_tuned_is_said(folder, tmp_path, capsys):
    assert command.main(["--weights", str(tmp_path), "--data", str(folder), "--output", str(tmp_path / "x")]) == 2
    assert "The checkpoint:" in capsys.readouterr().err

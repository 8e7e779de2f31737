"""python -m mvit.evaluate --worst: the images that a network is most wrong about."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mvit import MobileViT
from mvit.commands.evaluate import main
from mvit.data.images import Split, hold_out, load_split
from mvit.data.pictures import load_picture
from mvit.evaluation.mistakes import as_lines, worst_mistakes
from mvit.inference.classifier import Classifier


@pytest.fixture
def checkpoint(tiny, tmp_path) -> Path:
    MobileViT(replace(tiny, temperature=0.1)).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_the_most_confident_mistakes_come_first(tiny):
    logits = torch.tensor([[5.0, 0, 0], [0, 3, 0], [0, 0, 9], [0, 4, 0], [0, 0, 2.0]])
    labels = torch.tensor([0, 0, 1, 2, 0])  # blue, green, red: the first is right
    split = Split("made", tiny.class_names, torch.zeros(5, 3, 1, 1), labels, torch.ones(5, dtype=torch.bool),
                  ("a", "b", "c", "d", "e"))
    model = MobileViT(replace(tiny, temperature=2.0))
    worst = worst_mistakes(model, split, logits, 3)
    assert [(m["file"], m["truth"], m["answer"]) for m in worst] == [
        ("c", "green", "red"), ("d", "red", "green"), ("b", "blue", "green")]
    assert worst[0]["confidence"] == pytest.approx((logits[2] / 2).softmax(0)[2].item())
    assert len(worst_mistakes(model, split, logits, 99)) == 4
    assert worst_mistakes(model, split[:1], logits[:1], 3) == []
    assert as_lines([]) == "Every image is answered rightly."


def test_an_image_keeps_its_file_through_what_is_done_to_a_split(folder):
    split = load_split(folder, "train")
    assert len(split.files) == len(split) and Path(split.files[0]).is_file()
    for part in (*hold_out(split, 9), split[3:7], split[torch.tensor([5, 2])]):
        for image, file in zip(part.images, part.files, strict=True):
            pixels = torch.tensor(list(load_picture(file).tobytes())).view(32, 32, 3).permute(2, 0, 1)
            assert torch.equal(image, pixels.to(torch.uint8))


@pytest.mark.parametrize("options", [[], ["--split", "validation", "--validation", "9"]])
def test_the_command_lists_what_the_page_would_answer(checkpoint, folder, capsys, options):
    command = [str(checkpoint), "--data", str(folder), *options]
    assert main([*command, "--worst", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["worst"]) == 4
    classifier = Classifier(checkpoint)
    confidences = [mistake["confidence"] for mistake in result["worst"]]
    assert confidences == sorted(confidences, reverse=True)
    for mistake in result["worst"]:
        assert Path(mistake["file"]).parent.name == mistake["truth"] != mistake["answer"]
        assert classifier(load_picture(mistake["file"])).best == (
            mistake["answer"], pytest.approx(mistake["confidence"], abs=1e-4))
    assert main([*command, "--worst", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-4:]] == [mistake["file"] for mistake in result["worst"]]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == lines[:-5]  # without it nothing is listed


def test_a_file_s_name_that_is_no_text_is_listed_all_the_same():
    mistake = {"file": "caf\udce9.png", "truth": "a", "answer": "b", "confidence": 0.5}
    assert as_lines([mistake]).encode().startswith("caf\N{REPLACEMENT CHARACTER}.png".encode())


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_number_that_is_none_is_said(checkpoint, folder, capsys, count):
    with pytest.raises(SystemExit) as ended:
        main([str(checkpoint), "--data", str(folder), "--worst", count])
    assert ended.value.code == 2
    assert "--worst" in capsys.readouterr().err

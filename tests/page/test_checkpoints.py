"""The weights on offer: found, loaded once, loaded anew when they change, and no others."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import gradio as gr
import pytest

from mvit import CheckpointError, MobileViT
from mvit.page import checkpoints
from mvit.page.checkpoints import about, folder_of, load_classifier, offered, usable
from mvit.storage.files import CHECKPOINTS, write_json
from mvit.storage.records import find_checkpoints


def test_a_refreshed_checkpoint_is_picked_up(tmp_path, tiny):
    folder = tmp_path / "weights"
    MobileViT(tiny).save_pretrained(folder)
    first = load_classifier(folder)
    assert load_classifier(folder) is first
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert load_classifier(folder) is not first
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        load_classifier(folder)


def test_handlers_that_need_the_same_new_weights_at_once_share_them(tmp_path, tiny):
    MobileViT(tiny).save_pretrained(tmp_path / "weights")
    with ThreadPoolExecutor(8) as pool:
        classifiers = list(pool.map(lambda _: load_classifier(tmp_path / "weights"), range(8)))
    assert len({id(classifier) for classifier in classifiers}) == 1


def test_checkpoints_are_found_the_preferred_first(tmp_path):
    for name in ("a", "reference", "b", ".hidden", "strong"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "no-checkpoint").mkdir()
    assert [path.name for path in find_checkpoints(tmp_path)] == ["strong", "reference", "a", "b"]


def test_weights_that_the_page_does_not_offer_are_refused(checkpoint, tmp_path):
    shutil.copytree(folder_of(checkpoint), tmp_path / "other")
    assert usable(checkpoint)
    for other in (str(tmp_path / "other"), None, ["x"]):
        with pytest.raises(gr.Error, match="does not offer"):
            usable(other)


def test_a_checkpoint_that_cannot_be_used_is_named_by_its_folder_alone(checkpoint):
    (folder_of(checkpoint) / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(gr.Error, match=r"Cannot load weights: model\.safetensors is damaged"):
        usable(checkpoint)


def test_what_is_said_of_weights_tells_their_runs_apart(tmp_path, monkeypatch):
    """Of the strong weights: 150 epochs by themselves, then 26 with a teacher."""
    assert about("strong").startswith(
        "The weights *strong*: trained for 150 epochs with Muon, RandAugment, Cutout, label smoothing, then 26 epochs "
        "with Muon, RandAugment, Cutout, a teacher's answers; right on 91.0% of 10,000 images")
    assert about("reference").startswith("The weights *reference*: trained for 20 epochs")
    monkeypatch.setattr(checkpoints, "begun_with", [tmp_path / "mine"])
    assert about("mine") == "The weights *mine*: there is no record of their training."
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine" / "history.json", [{"epoch": 1}])
    write_json(tmp_path / "mine" / "run.json", {"command": "", "settings": {
        "epochs": 1, "optimizer": "adamw", "weights": "checkpoints/strong"}})
    assert about("mine") == "The weights *mine*: trained for 1 epoch with AdamW, begun with the weights *strong*."


def test_weights_of_pictures_too_large_for_the_page_are_said_to_be(tmp_path, tiny):
    MobileViT(replace(tiny, image_size=320)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"up to 256 pixels a side; .* is for 320"):
        load_classifier(tmp_path)


def test_weights_of_one_name_are_told_apart_and_no_folder_is_told(tmp_path, monkeypatch):
    shutil.copytree(CHECKPOINTS / "reference", tmp_path / "runs" / "strong")
    monkeypatch.setattr(checkpoints, "begun_with", [tmp_path / "runs" / "strong"])
    first, *others = offered()
    assert (first, folder_of(first)) == ("strong", tmp_path / "runs" / "strong")
    assert folder_of("strong, in checkpoints") == CHECKPOINTS / "strong"
    assert len(others) == len(find_checkpoints())

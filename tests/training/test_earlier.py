"""What a run takes from earlier ones: a teacher, weights to begin with."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from mvit import MobileViT
from mvit.commands import evaluate as command
from mvit.data.images import DataError
from mvit.evaluation.images import images_of_run
from mvit.evaluation.images import test_images as evaluated
from tests.training.runs import ROOT, arguments, stop_before_the_first_epoch


def test_a_teacher_is_learnt_from(folder, tmp_path):
    """A student of nothing but a teacher that takes red for green and green for red, does so too."""
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    for split in ("train", "test"):
        (wrong / split / "red").rename(wrong / split / "other")
        (wrong / split / "green").rename(wrong / split / "red")
        (wrong / split / "other").rename(wrong / split / "green")
    teacher, steps = tmp_path / "teacher", ("--epochs", "6", "--batch-size", "16")
    assert train.main(arguments(wrong, teacher, *steps)) == 0
    for more, learnt in (([], [0, 1, 2]), (["--teacher", str(teacher), "--distillation", "1"], [0, 2, 1])):
        output = tmp_path / f"student {len(more)}"
        assert train.main(arguments(folder, output, *steps, *more)) == 0
        confusion = torch.tensor(json.loads((output / "evaluation.json").read_text())["confusion_matrix"])
        assert confusion.argmax(1).tolist() == learnt
        assert confusion.max(1).values.min() > 5  # of ten


def test_a_run_goes_on_with_the_teacher_it_began_with(folder, finished, tmp_path, capsys, monkeypatch):
    teacher, output = tmp_path / "teacher", tmp_path / "run"
    shutil.copytree(finished, teacher)
    stop_before_the_first_epoch(monkeypatch, folder, output, "--teacher", str(teacher), "--distillation", "0.9")
    resume = ["--output", str(output), "--device", "cpu", "--resume"]
    config = (teacher / "config.json").read_text()
    (teacher / "config.json").write_text(config.replace('"temperature": 1.0', '"temperature": 2.0'))
    assert (teacher / "config.json").read_text() != config
    assert train.main(resume) == 2
    assert "began with another teacher" in capsys.readouterr().err
    (teacher / "config.json").write_text(config)
    assert train.main(resume) == 0
    assert f"90% of the target is the answer of `{teacher}`" in (output / "README.md").read_text()


def test_a_run_goes_on_from_another_s_weights(folder, finished, tmp_path, monkeypatch):
    """As it stands, with a learning rate of next to nothing, even when it is stopped and they are gone."""
    start, output = tmp_path / "start", tmp_path / "run"
    shutil.copytree(finished, start)
    before = json.loads((start / "history.json").read_text())
    del before[0]["device"]  # as in the files of early runs
    (start / "history.json").write_text(json.dumps(before))
    stop_before_the_first_epoch(monkeypatch, folder, output, "--weights", str(start), "--lr", "1e-9", "--seed", "7")
    shutil.rmtree(start)
    assert train.main(["--output", str(output), "--device", "cpu", "--resume"]) == 0
    for name, weight in load_file(output / "model.safetensors").items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(weight, load_file(finished / "model.safetensors")[name], atol=1e-5, rtol=0)
    history = json.loads((output / "history.json").read_text())
    assert history[:3] == before
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]
    card = (output / "README.md").read_text()
    typed = json.loads((finished / "run.json").read_text())["command"]
    assert f"| command | `{typed}`, then `" in card
    assert "for 6 epochs" in card
    assert "Epochs 1 to 3 are those of the run whose weights this one began with" in card


@pytest.mark.parametrize(("more", "said"), [
    (["--teacher", "FINISHED"], "go together"),
    (["--distillation", "0.5"], "go together"),
    (["--teacher", "FINISHED", "--distillation", "2"], "from 0 to 1"),
    (["--teacher", "/nothing", "--distillation", "1"], "There is no folder /nothing"),
    (["--teacher", str(ROOT / "tests"), "--distillation", "1"], "The teacher: "),
    (["--teacher", "FINISHED", "--distillation", "1", "--output", "FINISHED"], "replace its own teacher"),
    (["--teacher", "FINISHED", "--distillation", "1", "--validation", "30"], "did not watch the 30 lossless images"),
    (["--teacher", str(ROOT / "checkpoints" / "strong"), "--distillation", "1"], "The teacher's class_names is"),
    (["--weights", "/nothing"], "There is no folder /nothing with a checkpoint in it"),
    (["--weights", "FINISHED", "--validation", "30"], "did not watch the 30 lossless images"),
    (["--weights", "FINISHED", "--model", '{"stem_channels": 8}'], "The checkpoint's stem_channels is 4, not 8"),
])
def test_a_network_that_will_not_do_is_refused(folder, finished, tmp_path, capsys, more, said):
    more = [str(finished) if option == "FINISHED" else option for option in more]
    assert train.main(arguments(folder, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


@pytest.fixture
def other(folder, tmp_path):
    """The same images, the classes under other names, and one less."""
    for split in ("train", "test"):
        (tmp_path / "other" / split).mkdir(parents=True)
        for name, renamed in (("blue", "sea"), ("green", "wood")):
            (tmp_path / "other" / split / renamed).symlink_to(folder / split / name)
    return tmp_path / "other"


def test_for_other_classes_the_body_is_kept_and_the_last_layer_is_new(other, finished, tmp_path):
    """With the body frozen for all of the run nothing else changes, not even BatchNorm's statistics."""
    output = tmp_path / "run"
    options = arguments(other, output, "--weights", str(finished), "--freeze-epochs", "3")
    assert train.main(options) == 0
    before, after = (load_file(path / "model.safetensors") for path in (finished, output))
    last = {"head.4.weight", "head.4.bias"}
    assert {name for name in before if not torch.equal(before[name], after[name])} == last
    assert after["head.4.weight"].shape == (2, 8)
    network, earlier = MobileViT.from_pretrained(output), MobileViT.from_pretrained(finished)
    assert network.config.class_names == ("sea", "wood")
    assert (network.config.mean, network.config.std) == (earlier.config.mean, earlier.config.std)
    assert len(json.loads((output / "history.json").read_text())) == 3


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_body_learns_at_a_rate_of_its_own_once_it_is_not_frozen(other, finished, tmp_path, monkeypatch, optimizer):
    """The same run, stopped after the frozen epoch and gone on with, at two rates of the body."""
    changes = []
    for rate in ("0.5", "0.001"):
        output = tmp_path / rate
        assert train.main(arguments(other, output, "--weights", str(finished), "--freeze-epochs", "1", "--epochs", "2",
                                    "--optimizer", optimizer, "--body-rate", rate)) == 0
        before, after = (load_file(path / "model.safetensors") for path in (finished, output))
        changes.append((after["stem.0.weight"] - before["stem.0.weight"]).abs().mean().item())
    assert changes[0] > 20 * changes[1] > 0


def test_held_out_images_that_weights_may_have_been_trained_on_are_refused(folder, tmp_path, capsys):
    before, after = tmp_path / "before", tmp_path / folder.name
    shutil.copytree(folder, after)
    shutil.copy(folder / "test" / "red" / "01.jpg", after / "train" / "red" / "01.jpg")
    options = ("--epochs", "1", "--validation", "12")
    assert train.main(arguments(folder, before, *options)) == 0
    assert train.main(arguments(after, tmp_path / "run", *options, "--weights", str(before))) == 2
    assert "was trained on other images than these" in capsys.readouterr().err
    taught = ("--teacher", str(before), "--distillation", "0.5")
    assert train.main(arguments(after, tmp_path / "run", *options, *taught)) == 2
    assert "The teacher in" in (said := capsys.readouterr().err) and "was trained on other images than these" in said
    assert train.main(arguments(folder, tmp_path / "run", *options, "--weights", str(before))) == 0
    model = MobileViT.from_pretrained(before)
    assert len(images_of_run(before, model, str(folder))[1]) == 12
    with pytest.raises(DataError, match="These are not the images that the run trained on"):
        images_of_run(before, model, str(after))
    assert command.main([str(before), "--data", str(folder), "--split", "validation"]) == 0
    assert command.main([str(before), "--data", str(after), "--split", "validation"]) == 2
    assert "These are not the images that the run trained on" in capsys.readouterr().err


def test_a_test_split_that_an_earlier_version_made_is_not_taken_for_what_is_made_now(folder, tmp_path, capsys):
    mine = shutil.copytree(folder / "train", tmp_path / "mine")
    assert train.main(arguments(mine, tmp_path / "run", "--epochs", "1")) == 0
    model = MobileViT.from_pretrained(tmp_path / "run")
    assert len(evaluated(tmp_path / "run", model, str(mine))) == 18
    begun = ("--epochs", "1", "--weights", str(tmp_path / "run"))
    assert train.main(arguments(mine, tmp_path / "next", *begun, "--test-share", "0.4")) == 2
    assert "some of the 40% that are to be kept for testing: give --test-share 0.2." in capsys.readouterr().err
    assert train.main(arguments(mine, tmp_path / "next", *begun, "--test-share", "0.1")) == 0
    (tmp_path / "mine" / "violet").symlink_to(folder / "train" / "red")  # of the other classes the same are known
    assert train.main(arguments(mine, tmp_path / "last", *begun, "--test-share", "0.4")) == 2
    assert "some of the 40%" in capsys.readouterr().err
    (tmp_path / "mine" / "violet").unlink()
    gone = Path(evaluated(tmp_path / "run", model, str(mine)).files[0])
    gone.rename(tmp_path / gone.name)  # another takes its place in the split, which was trained on
    with pytest.raises(DataError, match="These are not the images that the run trained on"):
        evaluated(tmp_path / "run", model, str(mine))
    (tmp_path / gone.name).rename(gone)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    del about["fingerprint"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="as an earlier version of this program did"):
        evaluated(tmp_path / "run", model, str(mine))
    assert command.main([str(tmp_path / "run"), "--data", str(mine)]) == 2
    assert "as an earlier version of this program did" in capsys.readouterr().err
    assert train.main(arguments(mine, tmp_path / "after", *begun)) == 2
    assert "as an earlier version of this program did" in capsys.readouterr().err
    assert len(evaluated(tmp_path / "run", model, str(folder))) == 30  # of another folder, none of which it knows


def test_images_of_the_same_classes_are_fine_tuned_on_with_the_last_layer_as_it_is(folder, finished, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(folder, fewer)
    (fewer / "train" / "red" / "00.png").unlink()
    assert train.main(arguments(fewer, tmp_path / "run", "--weights", str(finished), "--lr", "1e-9",
                                "--epochs", "1")) == 0
    before, after = (load_file(path / "model.safetensors") for path in (finished, tmp_path / "run"))
    assert torch.allclose(before["head.4.weight"], after["head.4.weight"], atol=1e-6)
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 1


def test_freezing_needs_weights_to_begin_with(folder, tmp_path, capsys):
    assert train.main(arguments(folder, tmp_path / "run", "--freeze-epochs", "1")) == 2
    assert "begins with --weights" in capsys.readouterr().err

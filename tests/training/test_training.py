"""A run: what it learns, that it resumes, that several processes make one run, what it leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import train
from mvit import MobileViT, mobilevit_xxs
from mvit.data.images import Split
from mvit.evaluation import accuracy as evaluate
from mvit.training import output
from mvit.training import run as training
from mvit.training.epoch import augmented, batches
from mvit.training.optimizers import Muon, build_optimizers
from mvit.training.processes import Processes
from mvit.training.settings import Settings, TrainingError, learning_rate
from mvit.training.state import State
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent.parent
MODEL = json.dumps({**TINY, "stages": [asdict(stage) for stage in TINY["stages"]], "dropout": 0.2})


def arguments(folder, output, *more):
    return ["--data", str(folder), "--output", str(output), "--model", MODEL, "--batch-size", "16", "--epochs", "3",
            "--device", "cpu", "--lr", "0.01", *more]


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("run") / "finished"
    assert train.main(arguments(folder, output)) == 0
    return output


def test_what_a_run_leaves(finished, folder):
    assert {path.name for path in finished.iterdir()} == {
        "README.md", "config.json", "evaluation.json", "history.json", "model.safetensors", "run.json"
    }
    history = json.loads((finished / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"} <= history[0].keys()
    assert history[-1]["train_accuracy"] > 0.6  # chance is 0.33
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert evaluation["accuracy"] == history[-1]["test_accuracy"]
    card = (finished / "README.md").read_text()
    assert f"{history[-1]['train_accuracy']:.2%}" in card
    assert f"{evaluation['accuracy']:.2%}" in card
    assert "JPEG copy" in card
    assert f"python train.py --data {folder}" in card
    config = json.loads((finished / "config.json").read_text())
    assert config["class_names"] == ["blue", "green", "red"]
    assert config["mean"][0] == pytest.approx(0.39, abs=0.02)  # (79.5 + 60 / 3) / 255


def kill_after(epochs, command, output):
    """Start a run and kill it, as hard as can be, some time after it has reported these."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith(f"epoch   {epochs}/"):
                time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
                break
        process.wait(60)
        assert process.returncode == -signal.SIGKILL
    assert (output / "run" / "resume.pt").exists()


@pytest.mark.parametrize("more", [[], ["--optimizer", "muon", "--ema", "0.9", "--schedule", "cosine", "--cutout", "8",
                                       "--randaugment", "9"],
                                  ["--teacher", "FINISHED", "--distillation", "0.5", "--label-smoothing", "0.1",
                                   "--bfloat16"]])
def test_a_killed_run_ends_with_the_same_weights(folder, finished, tmp_path, more):
    more = [str(finished) if option == "FINISHED" else option for option in more]
    finished, output = tmp_path / "finished", tmp_path / "killed"
    assert train.main(arguments(folder, finished, *more)) == 0
    kill_after(1, [sys.executable, "train.py", *arguments(folder, output, *more)], output)
    assert train.main(arguments(folder, output, *more)) == 2  # not silently anew
    assert train.main(["--output", str(output), "--device", "cpu", "--resume"]) == 0
    expected, weights = (load_file(path / "model.safetensors") for path in (finished, output))
    assert expected.keys() == weights.keys()
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    histories = [json.loads((path / "history.json").read_text()) for path in (finished, output)]
    timing = ("seconds", "images_per_second")
    assert [{k: v for k, v in record.items() if k not in timing} for record in histories[0]] == [
        {k: v for k, v in record.items() if k not in timing} for record in histories[1]
    ]


def test_another_seed_ends_elsewhere(finished, folder, tmp_path):
    assert train.main(arguments(folder, tmp_path / "other", "--seed", "1")) == 0
    expected, weights = (load_file(path / "model.safetensors") for path in (finished, tmp_path / "other"))
    assert not torch.equal(expected["stem.0.weight"], weights["stem.0.weight"])


def test_resuming_is_refused_where_it_would_be_another_run(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "run"
    assert train.main([*arguments(folder, output), "--resume"]) == 2
    assert "There is no unfinished run" in capsys.readouterr().err
    (output / "run").mkdir(parents=True)
    (output / "run" / "resume.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    assert train.main([*arguments(folder, output), "--resume"]) == 2
    assert "damaged or not from this program" in capsys.readouterr().err
    stop_before_the_first_epoch(monkeypatch, folder, tmp_path / "old")
    state = torch.load(tmp_path / "old" / "run" / "resume.pt")
    state["version"] -= 1
    state["settings"]["gone"] = 1
    torch.save(state, tmp_path / "old" / "run" / "resume.pt")
    assert train.main(arguments(folder, tmp_path / "old", "--resume")) == 2
    assert "from another version of this program" in capsys.readouterr().err


def stop_before_the_first_epoch(monkeypatch, *options):
    """Leave an unfinished run of these options behind."""
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_epoch", stop)
        assert train.main(arguments(*options)) == 130


def test_resuming_keeps_settings_and_images(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "run"
    stop_before_the_first_epoch(monkeypatch, folder, output)
    assert train.main([*arguments(folder, output, "--resume"), "--epochs", "4"]) == 2
    assert "The run began with epochs 3; it cannot go on with 4." in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Processes, "join", lambda device: Processes(0, 2))
        assert train.main(arguments(folder, output, "--resume")) == 2
    assert "began with 1 process(es), not 2" in capsys.readouterr().err
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", folder, other], check=True)
    (other / "train" / "red" / "00.png").unlink()
    assert train.main([*arguments(other, output, "--resume")]) == 2
    assert "began with other training images" in capsys.readouterr().err


def test_without_output_the_recipe_s_checkpoint_is_replaced(folder, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "CHECKPOINTS", tmp_path)
    shutil.copytree(finished, tmp_path / "reference")
    (tmp_path / "reference" / "validation.json").touch()  # of an earlier run, unlike this one
    options = arguments(folder, "unused", "--epochs", "1")
    del options[2:4]
    assert train.main(options) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]
    assert not (tmp_path / "reference" / "validation.json").exists()
    assert len(json.loads((tmp_path / "reference" / "history.json").read_text())) == 1
    assert MobileViT.from_pretrained(tmp_path / "reference").config.class_names == ("blue", "green", "red")


def test_validation_leaves_the_test_images_alone(folder, tmp_path):
    assert train.main(arguments(folder, tmp_path / "run", "--epochs", "1", "--validation", "30")) == 0
    (record,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert "validation_accuracy" in record
    assert "test_accuracy" not in record
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["images"] == 30
    assert evaluation["split"].startswith("30 lossless images held out")
    assert not (tmp_path / "run" / "validation.json").exists()


def test_the_test_images_are_read_once_where_that_is_asked_for(folder, tmp_path, monkeypatch):
    read = []

    def predict(model, split):
        read.append(split.name)
        return evaluate.predict(model, split)

    monkeypatch.setattr(training, "predict", predict)
    monkeypatch.setattr(training, "evaluate", lambda model, split: read.append(split.name) or evaluate.evaluate(
        model, split))
    assert train.main(arguments(folder, tmp_path / "run", "--validation", "30", "--final-test")) == 0
    assert len([name for name in read if "held out" not in name]) == 1
    validation, test = (json.loads((tmp_path / "run" / f"{name}.json").read_text()) for name in (
        "validation", "evaluation"))
    assert (validation["images"], test["images"]) == (30, 30)
    assert "held out" in validation["split"]
    assert "test split" in test["split"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["temperature"] == validation["temperature"] == test["temperature"] != 1
    assert "fitted to the validation images" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize("wrong", [
    ["--model", '{"width": 3}'], ["--model", '{"stem_channels": 0}'], ["--epochs", "0"], ["--validation", "90"],
    ["--model", "3"], ["--weight-decay", "-1"], ["--seed", "99999999999"], ["--device", "cuda:77"],
    ["--device", "toaster"], ["--data", "/nothing"], ["--model", '{"image_size": 0}'],
    ["--model", '{"kernel_size": 2}'], ["--cutout", "33"], ["--model", '{"class_names": ["a"]}'],
    ["--model", '{"class_names": ["green", "blue", "red"]}'], ["--model", '{"image_size": 4}'],
    ["--model", '{"image_size": 5, "stages": [{"channels": 8, "dim": 8, "depth": 1, "stride": 9}]}',
     "--batch-size", "1"],
    ["--model", '{"dropout": NaN}'], ["--model", '{"std": [1e-46, 1, 1]}'], ["--lr", "inf"],
    ["--batch-size", "9" * 20], ["--validation", "88"],
])
def test_what_cannot_be_trained_is_said_in_one_line_before_the_first_epoch(folder, tmp_path, capsys, wrong):
    assert train.main(arguments(folder, tmp_path / "run", *wrong)) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1
    assert not said.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", ["stem_channels=3", 100_000 * "["])
def test_what_is_no_json_is_called_that(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main(["--model", wrong])
    assert "error: argument --model: this is no JSON (" in capsys.readouterr().err


def test_images_of_one_class_or_one_colour_are_refused(folder, tmp_path, capsys):
    for split in ("train", "test"):
        shutil.copytree(folder / split / "red", tmp_path / "data" / split / "red")
    assert train.main(arguments(tmp_path / "data", tmp_path / "run")) == 2
    assert "there is one class only, red" in capsys.readouterr().err
    for split, name in ((split, name) for split in ("train", "test") for name in ("grey", "red")):
        shutil.rmtree(tmp_path / "data" / split / name, ignore_errors=True)
        (tmp_path / "data" / split / name).mkdir()
        Image.new("RGB", (32, 32), "grey").save(tmp_path / "data" / split / name / "0.png")
    assert train.main(arguments(tmp_path / "data", tmp_path / "run")) == 2
    assert "all of one colour" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_the_run(folder, tmp_path, capsys, monkeypatch):
    assert train.main(arguments(folder, tmp_path / "run", "--lr", "1e30")) == 2
    assert "try a lower learning rate" in capsys.readouterr().err
    monkeypatch.setattr(training, "loss_and_accuracy", lambda *_: (float("inf"), 0.5))
    assert train.main(arguments(folder, tmp_path / "watched")) == 2
    assert "The test loss is inf in epoch 1: delete" in capsys.readouterr().err
    assert State.load(tmp_path / "watched" / "run").history == []


def test_a_run_whose_images_are_gone_says_so_and_waits_for_them(folder, tmp_path, capsys, monkeypatch):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(folder, data)
    stop_before_the_first_epoch(monkeypatch, data, run)
    data.rename(tmp_path / "away")
    resume = ["--output", str(run), "--device", "cpu", "--resume"]
    capsys.readouterr()
    assert train.main(resume) == 2
    assert f"No pictures in {data / 'train'}" in capsys.readouterr().err
    (tmp_path / "away").rename(data)
    assert train.main(resume) == 0


@pytest.mark.parametrize("fails", ["model_card", "evaluate"])
def test_an_error_at_the_end_leaves_the_weights(folder, finished, tmp_path, capsys, monkeypatch, fails):
    run = tmp_path / "run"

    def fail(*_):
        raise ValueError("of this test")

    with monkeypatch.context() as patch:
        patch.setattr(training, fails, fail)
        assert train.main(arguments(folder, run)) == 2
    error = capsys.readouterr().err
    assert f"The weights are in {run / 'run' / 'new'}; the same command with --resume goes on." in error
    assert len(error.strip().splitlines()) == 1
    weights = MobileViT.from_pretrained(run / "run" / "new").state_dict()
    expected = load_file(finished / "model.safetensors")
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    assert train.main(arguments(folder, run, "--resume")) == 0
    assert {path.name for path in run.iterdir()} == {path.name for path in finished.iterdir()}


# --------------------------------------------------------------------------- several processes


def test_each_image_once_an_epoch_whatever_the_number_of_processes():
    for count, size, world_size in ((90, 16, 2), (33, 16, 2), (35, 16, 4), (3, 16, 2)):
        steps = batches(count, size, world_size, torch.Generator().manual_seed(0))
        assert torch.cat(steps).sort().values.tolist() == list(range(count))
        assert all(len(step[rank::world_size]) for step in steps for rank in range(world_size))


@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_are_made_of_their_images_whatever_is_made_at_once(world_size):
    split = Split("made", ("a", "b"), torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8),
                  torch.randint(0, 2, (50,)), torch.ones(50, dtype=torch.bool))
    made = []
    for at_once in (1, 2 * 8 * 3 * 32 * 32, 2**25):
        generator = torch.Generator().manual_seed(0)
        steps = batches(50, 8, world_size, generator)
        made.append(list(augmented(split, steps, 0, generator, Processes(world_size - 1, world_size), at_once)))
        for batch, (images, labels, _) in zip(steps, made[-1], strict=True):
            mine = batch[world_size - 1 :: world_size]
            assert torch.equal(labels, split.labels[mine])
            assert images.shape == (len(mine), 3, 32, 32)
    for one, other, third in zip(*made, strict=True):
        assert all(map(torch.equal, one, other))
        assert all(map(torch.equal, one, third))
    assert not torch.equal(made[0][0][0], split.images[steps[0]][world_size - 1 :: world_size])


def test_two_processes_take_the_steps_of_one(tmp_path):
    """Without BatchNorm, whose statistics are each process's own, weights and metrics are those of a single process.

    35 images in batches of 16, so that the last batch does not divide and no half can pass for the whole.
    """
    script = [str(ROOT / "tests" / "training" / "one_epoch.py"), str(tmp_path)]
    for torchrun in ([], ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]):
        subprocess.run([sys.executable, *torchrun, *script], cwd=ROOT, check=True, timeout=120,
                       env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    one, two = (torch.load(tmp_path / f"{world_size}.pt", weights_only=True) for world_size in (1, 2))
    assert two["accuracy"] == one["accuracy"]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    moved = [(one["after"][name] - one["before"][name]).abs().max().item() for name in one["after"]]
    assert min(moved) > 0
    for name in one["after"]:
        torch.testing.assert_close(two["after"][name], one["after"][name], rtol=1e-4, atol=1e-5)


def test_two_processes_make_one_run(folder, tmp_path):
    """From the command line: one history, one checkpoint, and every test image counted once."""
    output = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "train.py",
               *arguments(folder, output, "--epochs", "2")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert "2 process(es)" in result.stdout
    assert result.stdout.count("epoch   1/2") == 1
    history = json.loads((output / "history.json").read_text())
    assert len(history) == 2
    evaluation = json.loads((output / "evaluation.json").read_text())
    assert sum(map(sum, evaluation["confusion_matrix"])) == 30
    about = json.loads((output / "run.json").read_text())
    assert about["command"].startswith("torchrun --nproc-per-node=2 train.py ")
    assert about["settings"]["processes"] == 2
    # The saved network, evaluated here alone, is as good as the two found it together.
    from mvit.data.images import load_split

    alone = evaluate.evaluate(MobileViT.from_pretrained(output), load_split(folder, "test"))
    assert alone["confusion_matrix"] == evaluation["confusion_matrix"]
    assert alone["loss"] == pytest.approx(evaluation["loss"], rel=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_killed_ends_the_others_and_loses_nothing(folder, tmp_path):
    output = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "train.py",
               *arguments(folder, output, "--epochs", "1000")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as torchrun:
        for line in torchrun.stdout:
            if line.startswith("epoch   2/"):
                break
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
        os.kill(max(map(int, children)), signal.SIGKILL)
        _, error = torchrun.communicate(timeout=60)
    assert torchrun.returncode != 0
    assert f"What was trained is in {output / 'run'}; the same command with --resume goes on." in error
    assert len(State.load(output / "run").history) >= 2


# --------------------------------------------------------------------------- schedules


def test_learning_rates():
    constant = Settings(epochs=10, learning_rate=0.5)
    assert [learning_rate(constant, epoch) for epoch in (0, 5, 9.99)] == [0.5] * 3
    cosine = Settings(epochs=12, learning_rate=0.5, schedule="cosine", warmup_epochs=2)
    assert [learning_rate(cosine, epoch) for epoch in (0, 1, 2, 7, 12)] == pytest.approx([0, 0.25, 0.5, 0.25, 0])


def test_settings_are_checked():
    with pytest.raises(TrainingError, match="schedule must be one of constant, cosine"):
        Settings(schedule="none")
    with pytest.raises(TrainingError, match="optimizer must be one of adamw, muon"):
        Settings(optimizer="sgd")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_serves_the_next_step():
    """Ten tensors of 64 MB, each freed before the next: the pages of earlier ones serve them all.

    Earlier ones, not the first: where the start of torch's threads takes memory between two, the next is laid
    behind it once or twice before a place is found again.
    """
    program = (
        "import resource, sys, torch\n"
        "from mvit.training.processes import keep_freed_memory\n"
        "if sys.argv[1] == 'keep' and not keep_freed_memory(): print(-1); sys.exit()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): torch.ones(2**24)\n"
        "before = faults()\n"
        "for _ in range(10): torch.ones(2**24)\n"
        "print(faults() - before)\n"
    )
    kept, handed_back = (
        int(subprocess.run([sys.executable, "-c", program, what], check=True, capture_output=True, text=True).stdout)
        for what in ("keep", "default"))
    if kept == -1:
        pytest.skip("not glibc")
    assert kept < 0.1 * handed_back


# --------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_weight_is_changed_by_exactly_one_optimizer(kind):
    network = mobilevit_xxs().to(memory_format=torch.channels_last)
    optimizers = build_optimizers(network, kind, 1e-2, 0.1, decay_all=False)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    network(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[name])}
    # Where the gradient is zero, only the decay of weights moves anything; these have none.
    assert all(network.get_parameter(name).ndim == 1 for name in still)
    sizes = [sum(weight.numel() for group in o.param_groups for weight in group["params"]) for o in optimizers]
    assert sum(sizes) == sum(weight.numel() for weight in network.parameters())
    assert len(optimizers) == (2 if kind == "muon" else 1)
    undecayed = [w for o in optimizers for g in o.param_groups if not g["weight_decay"] for w in g["params"]]
    assert sum(map(torch.numel, undecayed)) == sum(w.numel() for w in network.parameters() if w.ndim == 1)


def test_muon_orthogonalises_what_a_convolution_does_to_channels():
    """After one step from a plain gradient, the change of a convolution has singular values of about one size."""
    network = mobilevit_xxs().to(memory_format=torch.channels_last)
    weight = network.stages[1][1].fuse[0].weight
    before = weight.detach().clone()
    optimizers = build_optimizers(network, "muon", 1e-2, 0.0)
    network(torch.randn(8, 3, 32, 32)).square().sum().backward()
    gradient = torch.linalg.svdvals(weight.grad.flatten(1))
    for optimizer in optimizers:
        optimizer.step()
    change = torch.linalg.svdvals((weight.detach() - before).flatten(1))
    assert gradient[0] / gradient[-1] > 5
    assert change[0] / change[-1] < 3
    assert change.mean() == pytest.approx(1e-2 * 0.2 * 1152**0.5, rel=0.3)  # the larger side is 9 x 128


def test_muon_is_torch_s_for_many_matrices_at_once():
    shapes = [(6, 10), (10, 6), (6, 10), (8, 2, 3, 3)]
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    matrices = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in weights]
    begin = [weight.detach().clone() for weight in matrices]
    ours = Muon(weights, 0.1, 0.2)
    theirs = torch.optim.Muon(matrices, 0.1, 0.2, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, matrix in zip(weights, matrices, strict=True):
            matrix.grad = torch.randn_like(matrix)
            weight.grad = matrix.grad.view_as(weight)
        ours.step()
        theirs.step()
    for weight, matrix, was in zip(weights, matrices, begin, strict=True):
        moved, expected = weight.detach().flatten(1) - was, matrix.detach() - was
        assert (moved - expected).norm() < 0.02 * expected.norm()  # both reckon in bfloat16


def test_the_moving_average_is_what_is_shipped(folder, tmp_path):
    """An average that keeps nearly all of itself is still near the initial weights at the end."""
    distances = []
    for ema in ("0", "0.999"):
        output = tmp_path / ema
        assert train.main(arguments(folder, output, "--ema", ema)) == 0
        config = MobileViT.from_pretrained(output).config
        torch.manual_seed(0)
        began = MobileViT(config).state_dict()
        ended = load_file(output / "model.safetensors")
        distances.append(sum((ended[name] - began[name]).square().sum().item() for name in ended
                             if ended[name].ndim == 4))
    assert distances[1] < 0.2 * distances[0]  # it begins after the first step


def last_train_loss(folder, output, *more):
    """Of a run with these options."""
    assert train.main(arguments(folder, output, *more)) == 0
    return json.loads((output / "history.json").read_text())[-1]["train_loss"]


def test_label_smoothing_costs(folder, tmp_path):
    losses = [last_train_loss(folder, tmp_path / smoothing, "--label-smoothing", smoothing)
              for smoothing in ("0", "0.5")]
    assert losses[1] > losses[0] + 0.2


def test_cutout_hides_what_is_learnt_from(folder, tmp_path):
    means = [sum(last_train_loss(folder, tmp_path / f"{side} {seed}", "--cutout", side, "--seed", seed)
                 for seed in "012") / 3 for side in ("0", "32")]
    assert means[1] > means[0] + 0.1
    assert "a square of 32 x 32 pixels is blanked" in (tmp_path / "32 0" / "README.md").read_text()


# --------------------------------------------------------------------------- a teacher


def test_a_teacher_is_learnt_from(folder, tmp_path):
    """A student of nothing but a teacher that takes red for green and green for red, does so too."""
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    for split in ("train", "test"):
        (wrong / split / "red").rename(wrong / split / "other")
        (wrong / split / "green").rename(wrong / split / "red")
        (wrong / split / "other").rename(wrong / split / "green")
    teacher = tmp_path / "teacher"
    assert train.main(arguments(wrong, teacher, "--epochs", "6")) == 0
    for more, learnt in (([], [0, 1, 2]), (["--teacher", str(teacher), "--distillation", "1"], [0, 2, 1])):
        output = tmp_path / f"student {len(more)}"
        assert train.main(arguments(folder, output, "--epochs", "6", *more)) == 0
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
    (["--weights", "FINISHED", "--model", "{}"], "The checkpoint's stem_channels is"),
])
def test_a_network_that_will_not_do_is_refused(folder, finished, tmp_path, capsys, more, said):
    more = [str(finished) if option == "FINISHED" else option for option in more]
    assert train.main(arguments(folder, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


# --------------------------------------------------------------------------- another run's weights


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


def test_bfloat16_is_chosen_by_the_cpu_and_kept(folder, tmp_path, monkeypatch, capsys):
    for chosen, more in ((True, []), (False, []), (True, ["--no-bfloat16"]), (False, ["--bfloat16"])):
        monkeypatch.setattr(train, "fast_in_bfloat16", lambda device, chosen=chosen: chosen)
        output = tmp_path / f"{chosen} {len(more)}"
        stop_before_the_first_epoch(monkeypatch, folder, output, *more)
        settings = State.load(output / "run").settings
        assert settings.bfloat16 == (chosen if not more else more == ["--bfloat16"])
    monkeypatch.setattr(train, "pick_device", lambda name: torch.device("meta"))
    assert train.main(arguments(folder, tmp_path / "elsewhere", "--bfloat16")) == 2
    assert "bfloat16 is for training on a CPU, not on meta" in capsys.readouterr().err

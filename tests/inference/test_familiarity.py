"""What a network takes for unusual: the scores, how they are compared, the threshold, and what a checkpoint keeps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mvit import MobileViT
from mvit.commands import familiarity as command
from mvit.data.images import Split, hold_out, load_split
from mvit.data.out_of_distribution import Strangers, strangers
from mvit.evaluation.familiarity import SHARE, USED, auroc, familiarity, pooled, scores, tell
from mvit.inference.classifier import Classifier
from mvit.inference.familiarity import BANK, RECORD, Familiarity, body, neighbour_distance
from mvit.storage.files import CHECKPOINTS
from mvit.training.output import CHECKPOINT_FILES


@pytest.fixture
def checkpoint(tiny, tmp_path) -> Path:
    MobileViT(tiny).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def noise(count: int, seed: int, low: int = 0, high: int = 256) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)


def split(name: str, count: int, seed: int) -> Split:
    return Split(name, ("blue", "green", "red"), noise(count, seed), torch.arange(count) % 3,
                 torch.ones(count, dtype=torch.bool))


# --------------------------------------------------------------------------- scores


def test_the_body_and_the_last_layer_are_the_network(tiny):
    model, images = MobileViT(tiny).eval(), noise(4, 0)
    torch.testing.assert_close(model.head[-1](body(model)(model.normalize(images))), model(model.normalize(images)))


def test_each_score_is_what_its_paper_says(tiny):
    """Against plain definitions, one picture at a time."""
    model, train = MobileViT(tiny).eval(), split("train", 60, 0)
    features, x = pooled(model, train.images), pooled(model, noise(5, 1))
    by_name = scores(model, features, train.labels)
    logits = model.head[-1](x).detach()
    torch.testing.assert_close(by_name["softmax"](x).detach(), -logits.softmax(1).max(1).values)
    torch.testing.assert_close(by_name["energy"](x).detach(), -logits.exp().sum(1).log())
    means = [features[train.labels == label].double().mean(0) for label in range(3)]
    centred = torch.stack([f.double() - means[label] for f, label in zip(features, train.labels.tolist(), strict=True)])
    covariance = np.cov(centred.T.numpy(), bias=True)
    covariance += 1e-4 * covariance.diagonal().mean() * np.eye(len(covariance))
    expected = [min(((f.double() - m).numpy() @ np.linalg.solve(covariance, (f.double() - m).numpy())) for m in means)
                for f in x]
    assert by_name["Mahalanobis"](x).tolist() == pytest.approx(expected, rel=1e-5)
    unit = features / features.norm(dim=1, keepdim=True)
    expected = [sorted((f / f.norm() - u).norm().item() for u in unit)[4] for f in x]
    assert by_name[USED](x).tolist() == pytest.approx(expected, abs=5e-3)  # kept in half precision


def test_the_fifth_neighbour_counts():
    bank = torch.tensor([[1.0, 0]] * 4 + [[0.0, 1]])
    assert neighbour_distance(bank, torch.tensor([[3.0, 0]])).item() == pytest.approx(2**0.5)
    assert neighbour_distance(torch.tensor([[1.0, 0]] * 5), torch.tensor([[3.0, 0]])).item() == 0


# --------------------------------------------------------------------------- AUROC


def test_auroc_against_all_pairs_and_delong_s_interval():
    known, strange = torch.randn(200).round(decimals=1), (torch.randn(50) + 1).round(decimals=1)
    pairs = (strange[:, None] > known).double() + (strange[:, None] == known).double() / 2
    area, low, high = auroc(known, strange, torch.arange(50))
    assert area == pytest.approx(pairs.mean().item())
    half = 1.96 * (pairs.mean(1).var() / 50 + pairs.mean(0).var() / 200).sqrt().item()
    assert (low, high) == pytest.approx((area - half, area + half))


def test_what_was_cut_from_one_source_widens_the_interval():
    known, each = torch.randn(500), torch.randn(20) + 1
    alone = auroc(known, each, torch.arange(20))
    copies = auroc(known, each.repeat_interleave(10), torch.arange(20).repeat_interleave(10))
    assert copies == pytest.approx(alone)
    assert auroc(known, each, torch.arange(20) // 5)[0] == alone[0]


def test_auroc_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    known, strange = torch.randn(100), torch.randn(30) + 0.5
    labels = [0] * 100 + [1] * 30
    assert auroc(known, strange, torch.arange(30))[0] == pytest.approx(
        metrics.roc_auc_score(labels, torch.cat([known, strange]).numpy()))


def test_strangers_are_pictures_and_the_same_at_every_call(monkeypatch):
    monkeypatch.setattr("mvit.data.out_of_distribution.MADE", 4)
    sets, again = strangers(32), strangers(32)
    assert len({each.name for each in sets}) == len(sets)
    assert {each.chosen_by for each in sets} == {True, False}
    for one, other in zip(sets, again, strict=True):
        assert one.images.shape[1:] == (3, 32, 32)
        assert one.images.dtype == torch.uint8
        assert len(one.images) == len(one.sources)
        assert torch.equal(one.images, other.images)


def test_without_the_packages_there_are_fewer_strangers(monkeypatch):
    monkeypatch.setattr("mvit.data.out_of_distribution.MADE", 4)
    monkeypatch.setattr("mvit.data.out_of_distribution.find_spec", lambda name: None)
    names = [each.name for each in strangers(32)]
    assert "text" in names
    assert not [name for name in names if "scikit" in name]


# --------------------------------------------------------------------------- the threshold


def test_the_threshold_is_set_by_held_out_images_and_test_images_are_only_counted(tiny):
    model = MobileViT(tiny).eval()
    train, held_out = hold_out(split("train", 400, 0), 100)
    first, other_test = (familiarity(model, train, held_out, split("test", 200, seed)).record for seed in (1, 2))
    assert first["calibrated_share"] == SHARE
    assert first["threshold"] == other_test["threshold"]
    assert "held out" in first["calibrated_on"]
    assert "not trained on" in first["calibrated_on"]
    assert 0 <= first["test_share_interval_95"][0] <= first["test_share"] <= first["test_share_interval_95"][1]


def test_where_nothing_was_held_out_half_of_the_test_images_set_it_and_the_others_are_counted(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("mvit.evaluation.familiarity.pooled",
                        lambda model, images: asked.append(images) or pooled(model, images))
    train, test = split("train", 100, 0), split("test", 41, 1)
    record = familiarity(MobileViT(tiny).eval(), train, None, test).record
    _, calibrated, counted = ({image.numpy().tobytes() for image in images} for images in asked)
    assert (record["calibrated_images"], record["test_images"]) == (len(calibrated), len(counted)) == (20, 21)
    assert calibrated | counted == {image.numpy().tobytes() for image in test.images}
    assert "not among those counted" in record["calibrated_on"]


def test_three_images_are_enough(tiny):
    model = MobileViT(tiny).eval()
    made = familiarity(model, split("train", 3, 0), None, split("test", 2, 1))
    assert made.distance(pooled(model, noise(4, 2))).isfinite().all()


def test_what_differs_is_told_apart(tiny, monkeypatch):
    """With eight pixels as features, noise from pictures in which but one of the eight is not black."""
    monkeypatch.setattr("mvit.evaluation.familiarity.pooled", lambda model, images: images[:, 0, 0, :8] / 255)
    model, train = MobileViT(tiny).eval(), split("train", 200, 0)
    dark = torch.zeros(12, 3, 32, 32, dtype=torch.uint8)
    dark[:, 0, 0, 0] = 255
    sets = [Strangers("dark", True, dark, torch.arange(12) // 4), Strangers("noise", False, noise(50, 3),
                                                                           torch.arange(50))]
    dark_ones, as_before = tell(model, train, split("test", 100, 1), sets, "another")
    assert dark_ones["auroc"][USED][0] == 1
    assert dark_ones["auroc"]["Mahalanobis"][0] > 0.9
    assert (dark_ones["images"], dark_ones["sources"], dark_ones["network"]) == (12, 3, "another")
    _, low, high = as_before["auroc"][USED]
    assert low < 0.5 < high
    assert (dark_ones["chosen_by"], as_before["chosen_by"]) == (True, False)


# --------------------------------------------------------------------------- with a checkpoint


def test_the_command_makes_what_the_classifier_uses(checkpoint, folder, capsys):
    assert command.main([str(checkpoint), "--data", str(folder)]) == 0
    assert "Unusual beyond" in capsys.readouterr().out
    record = json.loads((checkpoint / RECORD).read_text())
    assert "not among those counted" in record["calibrated_on"]
    assert record["told"] == []
    classifier = Classifier(checkpoint)
    test = load_split(folder, "test")
    unusual = classifier.familiarity.unusual(pooled(classifier.model, test.images))
    assert record["test_images"] == len(test) // 2
    counted = test.some(len(test)).images[len(test) // 2:]
    assert classifier.familiarity.unusual(pooled(classifier.model, counted)).double().mean().item() == pytest.approx(
        record["test_share"])
    picture = Image.fromarray(test.images[0].permute(1, 2, 0).numpy())
    assert (classifier(picture).unusual is None) == (not unusual[0])
    classifier.familiarity.record["threshold"] = -1
    assert classifier(picture).unusual == record["test_share"]
    assert {RECORD, BANK} < set(CHECKPOINT_FILES)


def test_the_command_keeps_what_was_measured_of_the_same_weights(checkpoint, folder):
    assert command.main([str(checkpoint), "--data", str(folder)]) == 0
    record = json.loads((checkpoint / RECORD).read_text())
    rows = [{"pictures": "made", "auroc": {"softmax": [0.5, 0.4, 0.6]}}]
    for threshold, kept in ((record["threshold"], rows), (record["threshold"] / 2, [])):
        (checkpoint / RECORD).write_text(json.dumps({**record, "threshold": threshold, "told": rows}))
        assert command.main([str(checkpoint), "--data", str(folder)]) == 0
        assert json.loads((checkpoint / RECORD).read_text())["told"] == kept


def test_images_that_a_run_held_out_set_the_threshold(checkpoint, folder, capsys):
    run = {"command": "train", "settings": {"epochs": 1, "validation": 30}}
    (checkpoint / "run.json").write_text(json.dumps(run))
    assert command.main([str(checkpoint), "--data", str(folder)]) == 0
    record = json.loads((checkpoint / RECORD).read_text())
    assert record["calibrated_images"] == 30
    assert "lossless images held out" in record["calibrated_on"]


def test_classes_left_out_of_a_training_are_told_by_the_other_network(checkpoint, folder, tmp_path):
    """As if red and green had been all there was; the kind of picture says which network told it."""
    for part in ("train", "test"):
        (tmp_path / "others" / part).mkdir(parents=True)
    (tmp_path / "others" / "test" / "blue").symlink_to(folder / "test" / "blue")
    told = command.left_out(str(checkpoint), str(folder), str(tmp_path / "others"))
    assert [row["pictures"] for row in told] == ["blue, a class left out of a training"]
    assert told[0]["network"] == "trained on blue, green and red alone"


def test_the_command_says_in_one_line_what_is_wrong(checkpoint, tmp_path, capsys):
    assert command.main([str(checkpoint), "--data", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


BROKEN = ["null", "[]", "{}", "3", '{"threshold": "x", "test_share": 0}', '{"threshold": 1}', 10_000 * "["]


@pytest.fixture
def kept(checkpoint) -> Familiarity:
    """What a checkpoint of the tiny network might keep."""
    made = Familiarity(torch.randn(10, 8).half(), {"threshold": 0.5, "test_share": 0.05})
    made.save(checkpoint)
    return made


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_damaged_record_is_as_if_it_were_not_there(checkpoint, tiny, kept, content):
    model = MobileViT(tiny)
    assert Familiarity.load(checkpoint, model).record == kept.record
    (checkpoint / RECORD).write_text(content)
    assert Familiarity.load(checkpoint, model) is None


def test_features_of_another_network_are_not_used(checkpoint, tiny, kept):
    Familiarity(kept.bank[:, :3].contiguous(), kept.record).save(checkpoint)
    assert Familiarity.load(checkpoint, MobileViT(tiny)) is None
    (checkpoint / BANK).write_bytes(b"broken")
    assert Familiarity.load(checkpoint, MobileViT(tiny)) is None
    (checkpoint / BANK).unlink()
    assert Classifier(checkpoint)(Image.new("RGB", (32, 32))).unusual is None


# --------------------------------------------------------------------------- as shipped


@pytest.mark.parametrize("name", ["reference", "strong"])
def test_the_score_in_use_is_the_best_on_the_pictures_that_it_was_chosen_by(name):
    record = json.loads((CHECKPOINTS / name / RECORD).read_text())
    chosen_by = [row["auroc"] for row in record["told"] if row["chosen_by"]]
    mean = {score: np.mean([row[score][0] for row in chosen_by]) for score in chosen_by[0]}
    assert max(mean, key=mean.__getitem__) == record["score"] == USED
    assert sum((CHECKPOINTS / name / file).stat().st_size for file in (RECORD, BANK)) < 1_000_000
    assert record["calibrated_share"] == pytest.approx(SHARE, abs=0.001)


@pytest.mark.parametrize("name", ["reference", "strong"])
def test_noise_is_unusual_to_the_shipped_weights(name):
    classifier = Classifier(CHECKPOINTS / name)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert classifier(Image.fromarray(pixels)).unusual == pytest.approx(0.06, abs=0.02)

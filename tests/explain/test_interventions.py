"""Experiments on attention do what they say, in the thread that makes them and for as long as they are made."""

import json
import threading

import pytest
import torch

from mvit import MobileViT
from mvit.commands.interventions import main
from mvit.data.images import load_split
from mvit.explain.interventions import Change, answer_after, attentions_of, measure, patch_sides
from mvit.storage.records import INTERVENTIONS, read_costs


@pytest.fixture
def model(tiny):
    return MobileViT(tiny).eval()


@pytest.fixture
def pixels():
    return torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8)


def plain(model, pixels):
    return answer_after(Change(), model, pixels)


def test_uniform_attention_is_the_mean_of_the_values(model, pixels):
    change = Change(uniform=frozenset({(1, 0)}))
    attention = attentions_of(model)[1, 0]
    x = torch.randn(4, 16, 8)
    with change.made_to(model), torch.no_grad():
        changed = attention(x)
        v = attention.qkv(x)[..., 16:]
        expected = attention.project(v.mean(1, keepdim=True).expand_as(v))
    assert torch.allclose(changed, expected, atol=1e-6)
    assert not torch.allclose(plain(model, pixels), answer_after(change, model, pixels))


def test_a_muted_head_gives_zeros_and_the_others_what_they_gave(model):
    attention, given = attentions_of(model)[0, 0], []
    attention.project.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    x = torch.randn(4, 16, 8)
    with torch.no_grad():
        attention(x)
        with Change(muted=frozenset({(0, 0, 1)})).made_to(model):
            attention(x)
    before, after = given[0], given[-1]  # with the change the layer runs as it is, then changed
    assert torch.equal(after[..., 4:], torch.zeros(4, 16, 4))
    assert torch.allclose(after[..., :4], before[..., :4], atol=1e-6)


def test_what_is_covered_has_the_mean_colour_and_nothing_else_changes(model, pixels):
    covered = Change(covered=frozenset({(8, 4, 6, 2)})).covering(pixels, model)
    assert (covered[0, :, 8:14, 4:6].float() - model.mean).abs().max() < 1
    covered[..., 8:14, 4:6] = pixels[..., 8:14, 4:6]
    assert torch.equal(covered, pixels)


def test_other_threads_do_not_notice_and_nothing_stays(model, pixels):
    before, found = plain(model, pixels), []
    with Change(uniform=frozenset(attentions_of(model))).made_to(model):
        thread = threading.Thread(target=lambda: found.append(plain(model, pixels)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], before)
    assert torch.equal(plain(model, pixels), before)


@pytest.mark.parametrize("asked", [
    None, [], "uniform", {"other": []},
    {"uniform": 3}, {"uniform": [[0]]}, {"uniform": [[0, 1]]}, {"muted": [[0, 0, 2]]},
    {"muted": [[0, 0, -1]]}, {"muted": [[0, 0, True]]}, {"uniform": [["0", 0]]}, {"covered": [[0, 30, 4, 4]]},
    {"covered": [[0, 0, 1e9, 1]]}, {"uniform": [[0, 0]] * 2000}])
def test_an_experiment_that_is_none_is_said_so(model, asked):
    with pytest.raises(ValueError, match=r"experiment|layer|head|whole numbers|outside"):
        Change.read(asked, model)


def test_an_experiment_is_read_as_json_has_it(model):
    asked = {"uniform": [[0, 0]], "muted": [[2, 0, 1]], "covered": [[0, 0, 32, 32]]}
    assert Change.read(json.loads(json.dumps(asked)), model) == Change(
        frozenset({(0, 0)}), frozenset({(2, 0, 1)}), frozenset({(0, 0, 32, 32)}))


def test_costs_are_differences_on_the_same_images(model, folder):
    test = load_split(folder, "test")
    costs = measure(model, test)
    assert costs["split"] == test.name and costs["images"] == len(test) == 30
    assert [(cost["block"], cost["layer"]) for cost in costs["uniform"]] == [(1, 1), (2, 1), (3, 1)]
    assert len(costs["muted"]) == 6 and [cost["patch"] for cost in costs["covered"]] == patch_sides(model) == [4, 8, 16]
    for cost in (*costs["uniform"], costs["uniform_everywhere"], *costs["muted"], *costs["covered"]):
        assert cost["change"] == pytest.approx(cost["accuracy"] - costs["accuracy"])
        low, high = cost["change_interval_95"]
        assert low <= cost["change"] <= high


def test_the_command_leaves_its_file_beside_the_weights(model, folder, tmp_path, capsys):
    model.save_pretrained(tmp_path)
    assert main([str(tmp_path), "--data", str(folder)]) == 0
    assert "uniform: everywhere" in capsys.readouterr().out
    costs = read_costs(tmp_path)
    assert costs["split"] == load_split(folder, "test").name
    whole = json.loads((tmp_path / INTERVENTIONS).read_text())
    for broken in ([], {**whole, "uniform": 3}, {**whole, "muted": [3]}, {**whole, "uniform_everywhere": {}},
                   {**whole, "covered": [{"change": 0.1, "change_interval_95": "ab"}]}, {**whole, "split": None}):
        (tmp_path / INTERVENTIONS).write_text(json.dumps(broken))
        assert read_costs(tmp_path) is None


def test_what_cannot_be_measured_is_one_sentence(model, tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1 and "Traceback" not in error

"""The endpoint /attend: attention weights for programs."""

import json
import re
import urllib.request

import gradio as gr
import pytest
import torch
from PIL import Image

from mvit import MobileViT
from mvit.data.pictures import load_picture, to_network_size
from mvit.explain.attention import attention
from mvit.inference.classifier import as_pixels
from mvit.page.attend import attention_weights
from mvit.page.uploads import NOT_UPLOADED, UNFIT
from mvit.storage.files import ROOT
from tests.page.conftest import REFERENCE, SHIPPED


@pytest.fixture(scope="module")
def blocks(drawn):
    model = MobileViT.from_pretrained(SHIPPED[0])
    pixels = as_pixels(to_network_size(load_picture(drawn["ship"])))
    return attention(model, model.normalize(pixels))


@pytest.mark.parametrize(("block", "layer", "head", "row", "column"), [
    (1, 1, 1, 1, 1), (2, 1, 4, 8, 3), (3, 2, 0, 5, 8), (3, 1, 2, 2, 2)])
def test_weights_are_those_of_the_forward_pass(drawn, blocks, block, layer, head, row, column):
    said = attention_weights(str(drawn["ship"]), block, layer, head, row, column, SHIPPED[0].name)
    inside = blocks[block - 1]
    (H, W), (h, w) = said["map_size"], said["patch_size"]
    assert (H, W) == inside.map_size and (h, w) == inside.patch_size == (2, 2)
    weights = torch.tensor(said["weights"])
    assert weights.shape == (H, W)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    position, patch = (row - 1) % 2 * 2 + (column - 1) % 2, (row - 1) // 2 * (W // 2) + (column - 1) // 2
    of_layer = inside.layers[layer - 1][0, position]                              # heads, N, N
    expected = (of_layer[head - 1] if head else of_layer.mean(0))[patch]          # N
    own = weights[(row - 1) % 2::2, (column - 1) % 2::2]                          # the keys at the query's position
    torch.testing.assert_close(own.flatten(), expected, atol=1e-5, rtol=1e-4)
    assert (weights > 0).sum() == own.numel()


@pytest.mark.parametrize(("name", "bounds"), [("block", "1 to 3"), ("layer", "1 to 2"), ("head", "0 to 4"),
                                              ("row", "1 to 8"), ("column", "1 to 8")])
def test_a_value_that_there_is_not_is_answered_by_those_that_there_are(drawn, name, bounds):
    right = {"block": 3, "layer": 1, "head": 1, "row": 1, "column": 1}
    for value in (-1, 99, 1.5, float("nan"), float("inf"), 10**400, None, "1", True, [1], {}):
        with pytest.raises(gr.Error, match=f"The {name} is a whole number from {bounds} here"):
            attention_weights(str(drawn["ship"]), **{**right, name: value}, checkpoint=REFERENCE.name)


def test_what_is_no_picture_is_answered_in_words(tmp_path):
    (tmp_path / "cat.png").write_text("not a cat")
    with pytest.raises(gr.Error, match="not a picture"):
        attention_weights(str(tmp_path / "cat.png"), 1, 1, 1, 1, 1, REFERENCE.name)
    with pytest.raises(gr.Error, match="no picture"):
        attention_weights(None, 1, 1, 1, 1, 1, REFERENCE.name)


def ask(address: str, *data: object) -> str:
    """What the endpoint says of values that are sent as they are."""
    request = urllib.request.Request(f"{address}/gradio_api/call/attend", json.dumps({"data": data}).encode(),
                                     {"Content-Type": "application/json"})
    event = json.load(urllib.request.urlopen(request, timeout=10))["event_id"]
    answer = urllib.request.urlopen(f"{address}/gradio_api/call/attend/{event}", timeout=10).read().decode()
    return json.loads(answer.split("data: ", 1)[1].splitlines()[0])["error"]


def test_only_what_was_uploaded_is_read(server, drawn):
    for path in (str(drawn["ship"]), "/etc/passwd", "/etc/none", "demo.py", "http://127.0.0.1:9/cat.png"):
        assert ask(server, {"path": path}, 1, 1, 1, 1, 1) == NOT_UPLOADED, path
        assert ask(server, None, {"path": path}, 1, 1, 1, 1) == NOT_UPLOADED, path
    assert ask(server, 5, 1, 1, 1, 1, 1) == UNFIT
    assert "no picture" in ask(server, None, 1, 1, 1, 1, 1)


def test_the_readme_s_example_runs(server, drawn, tmp_path, monkeypatch):
    """As it stands, but for the address, with the picture of a ship."""
    import gradio_client

    class Listening(gradio_client.Client):
        """A client that keeps what it was answered."""

        def __init__(self, _address):
            super().__init__(server, verbose=False)

        def predict(self, *arguments, **options):
            said.append(super().predict(*arguments, **options))

    said = []
    monkeypatch.setattr(gradio_client, "Client", Listening)
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
                if "gradio_client" in code)
    Image.open(drawn["ship"]).convert("RGB").save(tmp_path / "ship.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block, names)
    classified, attended = said
    assert classified["label"] == "ship"
    assert attended["map_size"] == [8, 8]
    assert sum(map(sum, attended["weights"])) == pytest.approx(1, abs=1e-5)
    about = names["page"].view_api(return_format="dict", print_info=False)["named_endpoints"]["/attend"]
    assert [p["parameter_name"] for p in about["parameters"]] == ["file", "block", "layer", "head", "row", "column"]
    assert "H rows of W numbers from 0 to 1" in about["description"]

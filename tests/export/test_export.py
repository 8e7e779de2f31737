"""python -m mvit.export: the file says what the network says, without PyTorch."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mvit import MobileViT, MobileViTConfig, StageConfig
from mvit.data.images import load_split
from mvit.evaluation.accuracy import wilson_interval
from mvit.explain.attention import attention
from mvit.export import onnx_file
from mvit.export.__main__ import main
from mvit.export.int8 import compare, quantize
from mvit.export.onnx_file import ExportError, WithAll, check, export
from mvit.inference.classifier import Classifier
from mvit.inference.variants import onnx_session
from tests.conftest import CLASSES, TINY

ROOT = Path(__file__).parent.parent.parent
CONFIG = MobileViTConfig(**TINY, class_names=("Löwe, jung", 'a "red" one', "日本"), temperature=0.2,
                         mean=(0.3, 0.5, 0.7), std=(0.1, 0.2, 0.3))


def network(config: MobileViTConfig) -> MobileViT:
    """Random weights, and BatchNorms that do something."""
    torch.manual_seed(0)
    model = MobileViT(config)
    model(model.normalize(torch.randint(0, 256, (64, 3, config.image_size, config.image_size))))
    return model.eval()


@pytest.fixture(scope="module", autouse=True)
def _extras():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def model() -> MobileViT:
    return network(CONFIG)


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "mine"
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory) -> Path:
    """Pictures of this network's classes."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        (root / split).mkdir()
        for name, colour in zip(CONFIG.class_names, CLASSES, strict=True):
            (root / split / name).symlink_to(folder / split / colour)
    return root


@pytest.fixture(scope="module")
def file(checkpoint, data) -> Path:
    """Written by the command, with all that it can write."""
    path = checkpoint.with_name("mine.onnx")
    assert main([str(checkpoint), "--output", str(path), "--attention", "--int8", "--data", str(data)]) == 0
    return path


@pytest.fixture(scope="module")
def proto(model):
    return export(model)


def test_onnx_runtime_alone_gives_the_page_s_answer(checkpoint, file, folder):
    """What follows is what a program without this project and without PyTorch does."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    about = session.get_modelmeta().custom_metadata_map
    size, names = json.loads(about["image_size"]), json.loads(about["class_names"])
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 3, size, size])
    picture = Image.open(folder / "test" / "green" / "04.jpg").convert("RGB")
    pixels = np.asarray(picture).transpose(2, 0, 1)[None]
    (probabilities,) = session.run(["probabilities"], {"images": pixels})
    answer = Classifier(checkpoint)(picture)
    assert names == list(answer.confidences)
    np.testing.assert_allclose(probabilities[0], list(answer.confidences.values()), atol=1e-4)


def test_the_metadata_s_normalisation_is_the_graph_s(model, file):
    """A program that normalises by it, for PyTorch's network, gets what the graph gives for bytes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    about = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(about[key]), np.float32).reshape(3, 1, 1) for key in ("mean", "std"))
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy((images / np.float32(255) - mean) / std)).numpy()
    logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    exponentials = np.exp(logits / json.loads(about["temperature"]))
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5, 33])
def test_attention_is_an_output_for_any_batch(model, file, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    about = session.get_modelmeta().custom_metadata_map
    images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    outputs = session.run(None, {"images": images.numpy()})
    names = [output.name for output in session.get_outputs()]
    assert names == json.loads(about["outputs"])
    records, blocks = json.loads(about["attention"]), attention(model, model.normalize(images))
    assert [record["block"] for record in records.values()] == [block.name for block in blocks]
    for b, block in enumerate(blocks, start=1):
        name = f"attention_block{b}_layer1"
        assert tuple(records[name]["map_size"]) == block.map_size
        torch.testing.assert_close(torch.from_numpy(outputs[names.index(name)]), block.layers[0], atol=1e-4, rtol=0)


def test_networks_of_other_shapes_are_exported():
    """Maps that are resized to patches, deep blocks, one stage, pictures that are small; more classes than channels."""
    model = network(replace(CONFIG, patch_size=3, image_size=20, class_names=tuple(map(str, range(40))),
                            stages=(StageConfig(channels=8, dim=8, depth=2, heads=1, stride=1),)))
    check(export(model, with_attention=True), WithAll(model, True))


def changed(proto, by: float):
    """The same file, but for the weights of the first class."""
    from onnx import ModelProto, numpy_helper

    other = ModelProto()
    other.CopyFrom(proto)
    (weight,) = (tensor for tensor in other.graph.initializer if tensor.name == "model.head.4.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0] += by
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return other


def test_a_file_of_another_network_is_refused(model, proto):
    check(proto, WithAll(model, False))
    with pytest.raises(ExportError, match="probabilities differs by"):
        check(changed(proto, 0.01), WithAll(model, False))


def test_what_does_not_pass_the_check_is_not_written(checkpoint, proto, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(onnx_file, "to_onnx", lambda *_, **__: changed(proto, 0.01))
    assert main([str(checkpoint), "--output", str(tmp_path / "bad.onnx")]) == 2
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.startswith("The ONNX export is not the network: ")


def test_nothing_of_this_machine_is_in_the_file(file, model):
    content = file.read_bytes()
    assert b"Conv" in content
    for trace in (str(ROOT), sys.prefix, "site-packages", "stack_trace", ".py"):
        assert trace.encode() not in content
    assert len(content) < 8 * sum(p.numel() for p in model.parameters()) + 100_000


def test_what_it_needs_is_said_where_it_is_missing(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main([str(checkpoint), "--output", str(tmp_path / "a.onnx")]) == 2
    assert capsys.readouterr().err == ("onnxscript is not installed, which ONNX needs: "
                                       "pip install onnx onnxscript onnxruntime.\n")


def test_problems_are_one_sentence(checkpoint, tmp_path, capsys):
    for arguments in ([str(checkpoint), "--output", str(tmp_path / "no" / "a.onnx")], [str(tmp_path)]):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


# --------------------------------------------------------------------------- int8


def test_int8_has_integers_but_not_in_attention(proto, data):
    train = load_split(data, "train")
    quantized = quantize(proto, train)
    before, after = ([node.op_type for node in p.graph.node] for p in (proto, quantized))
    assert "QuantizeLinear" in after and "QuantizeLinear" not in before
    becoming_integers = {node.input[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    floats = [node for node in quantized.graph.node
              if node.op_type == "MatMul" and not becoming_integers.intersection(node.output)]
    assert len(floats) == 2 * len(TINY["stages"])  # q k^T and its product with v, in each block's one layer
    assert quantized.ByteSize() < proto.ByteSize() * 2  # so tiny a network grows: scales outweigh weights
    assert {p.key: p.value for p in quantized.metadata_props} == {p.key: p.value for p in proto.metadata_props}
    import onnxruntime

    images = train.images.contiguous().numpy()
    ours, its = (onnxruntime.InferenceSession(p.SerializeToString()).run(["logits"], {"images": images})[0]
                 for p in (proto, quantized))
    assert 0 < np.abs(ours - its).max()
    assert np.corrcoef(ours.ravel(), its.ravel())[0, 1] > 0.9


def test_larger_images_are_fewer_in_calibration(proto, data, monkeypatch):
    """All of their feature maps are in memory at once."""
    import onnxruntime.quantization

    def count(prepared, file, reader, **options):
        seen.append(sum(1 for _ in iter(reader.get_next, None)))
        raise InterruptedError

    seen = []
    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", count)
    for size in (32, 64, 1024):
        images = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(200, 3, size, size)
        split = replace(load_split(data, "train"), images=images, labels=torch.zeros(200).long())
        with pytest.raises(InterruptedError):
            quantize(proto, split)
    assert seen == [128, 32, 1]


def test_int8_s_loss_is_counted_on_the_same_images(proto, data):
    split = load_split(data, "test")
    other = changed(proto, 0.3)
    result = compare(proto, other, split, turns=1)
    right = [(torch.from_numpy(onnx_session(p).run(["logits"], {"images": split.images.contiguous().numpy()})[0])
              .argmax(1) == split.labels).double() for p in (proto, other)]
    lost = right[0] - right[1]
    assert (result.accuracy_float32, result.accuracy_int8) == (right[0].mean(), right[1].mean())
    assert result.accuracy_int8_interval_95 == wilson_interval(int(right[1].sum()), 30)
    assert result.loss == pytest.approx(lost.mean().item())
    assert 0 < lost.abs().sum() < 30
    low, high = result.loss_interval_95
    assert high - low == pytest.approx(2 * 1.96 * (lost.var() / 30).sqrt().item())
    assert set(result.speed) == {1, 64} and all(ratio > 0 for ratio in result.speed.values())


def test_the_command_writes_int8_and_what_was_measured(file, data, checkpoint, tmp_path, capsys):
    import onnxruntime

    assert sorted(path.name for path in file.parent.iterdir()) == ["mine", "mine.int8.json", "mine.int8.onnx",
                                                                   "mine.onnx"]
    fp32, int8 = (onnxruntime.InferenceSession(file.with_suffix(suffix)) for suffix in (".onnx", ".int8.onnx"))
    assert [output.name for output in int8.get_outputs()] == [output.name for output in fp32.get_outputs()]
    assert json.loads(int8.get_modelmeta().custom_metadata_map["class_names"]) == list(CONFIG.class_names)
    measured = json.loads(file.with_suffix(".int8.json").read_text())
    assert measured["images"] == 30 and "test split" in measured["split"]
    assert "train split" in measured["calibrated_on"]
    assert measured["bytes_int8"] == file.with_suffix(".int8.onnx").stat().st_size
    assert measured["loss"] == pytest.approx(measured["accuracy_float32"] - measured["accuracy_int8"])
    assert set(measured["speed"]) == {"1", "64"} and "cores" in measured["machine"]

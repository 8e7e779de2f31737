"""A checkpoint as one ONNX file, to be run without PyTorch.

Its input ``images`` is what a picture is, uint8 RGB of any batch size, and normalisation is part of the graph: pixels
on another scale, which floats would let through, are an error and not a wrong answer. Its outputs:

==============================  =====================  ==========================================================
``probabilities``               (batch, classes)       at the temperature that they were calibrated with
``logits``                      (batch, classes)       before it
``attention_block1_layer1`` ..  (batch, P, heads,      if asked for: :func:`mvit.explain.attention.attention`
                                N, N)                  of each layer of each block
==============================  =====================  ==========================================================
"""

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mvit.data.pictures import CIFAR10_MEAN, FIT
from mvit.explain.attention import AXES, BlockAttention, attention
from mvit.inference.variants import fold_batchnorm, onnx_session, to_onnx
from mvit.model import MobileViT

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
BATCHES = (1, 3, 5)  # that an export is checked on


class ExportError(Exception):
    """What was exported is not the network; the message is one sentence for the person who asked."""


class WithAll(nn.Module):
    """The network from pixels to all outputs of the file. (B, 3, H, W) uint8 -> a tuple in the order of their names."""

    def __init__(self, model: MobileViT, with_attention: bool):
        super().__init__()
        self.model, self.with_attention = model, with_attention

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits, blocks = self.answer(images)
        return self.model.probabilities(logits), logits, *(layer for block in blocks for layer in block.layers)

    def answer(self, images: Tensor) -> tuple[Tensor, list[BlockAttention]]:
        """(logits, the blocks' attention) of one pass."""
        x = self.model.normalize(images)
        if not self.with_attention:
            return self.model(x), []
        outputs: list[Tensor] = []
        handle = self.model.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        try:
            blocks = attention(self.model, x)
        finally:
            handle.remove()
        return outputs[0], blocks


def export(model: MobileViT, with_attention: bool = False) -> "ModelProto":
    """The network as ONNX, checked against PyTorch by ONNX Runtime on batches of several sizes.

    Its metadata (``get_modelmeta().custom_metadata_map`` in ONNX Runtime) says what goes in and what comes out: see
    :func:`metadata`.

    Raises:
        UnavailableError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: an output differs by more than ``TOLERANCE``.
    """
    size = model.config.image_size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)  # two: a batch of one would be exported as always one
    whole = WithAll(model.eval(), with_attention).eval()
    with torch.no_grad():
        blocks = whole.answer(example)[1]
    about = metadata(model, blocks)
    folded = fold_batchnorm(model, model.normalize(example))
    assert isinstance(folded, MobileViT)
    proto = to_onnx(WithAll(folded, with_attention).eval(), example, input_names=["images"],
                    output_names=json.loads(about["outputs"]), dynamic_shapes=({0: torch.export.Dim("batch")},))
    _forget_where(proto)
    import onnx  # an extra, which is there now

    onnx.helper.set_model_props(proto, about)
    check(proto, whole)
    return proto


def metadata(model: MobileViT, blocks: list[BlockAttention]) -> dict[str, str]:
    """What a program has to know of the file. Lists and numbers are JSON.

    Keys: class_names, image_size, mean and std (of red, green and blue, on a scale of 0 to 1), temperature, input (in
    words), outputs (their names), and with attention: attention (for each output the block's name, its patch and map
    size) and attention_axes.
    """
    config = model.config
    names = {f"attention_block{b}_layer{layer}": block for b, block in enumerate(blocks, start=1)
             for layer in range(1, len(block.layers) + 1)}
    about: dict[str, Any] = {
        "class_names": config.class_names,
        "image_size": config.image_size,
        "mean": config.mean,
        "std": config.std,
        "temperature": config.temperature,
        "outputs": ["probabilities", "logits", *names],
    }
    if names:
        about["attention_axes"] = AXES
        about["attention"] = {name: {"block": block.name, "patch_size": block.patch_size, "map_size": block.map_size}
                              for name, block in names.items()}
    return {key: json.dumps(value) for key, value in about.items()} | {
        "input": f"uint8, RGB, (batch, 3, {config.image_size}, {config.image_size}), 0 to 255, fitted by {FIT} on "
                 f"{CIFAR10_MEAN} and resized bicubically; the graph normalises: (images / 255 - mean) / std"}


def _forget_where(proto: "ModelProto") -> None:
    """Take out what the exporter notes of each operator: lines of source, with paths of this machine."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]


@torch.no_grad()
def check(proto: "ModelProto", whole: WithAll) -> None:
    """Raises ExportError where an output differs from PyTorch's by more than ``TOLERANCE``, of its largest or of 1."""
    runtime, size = onnx_session(proto), whole.model.config.image_size
    names = [output.name for output in runtime.get_outputs()]
    random = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=random)
        for name, ours, its in zip(names, whole(images), runtime.run(None, {"images": images.numpy()}), strict=True):
            if ours.shape != its.shape:
                raise ExportError(f"The ONNX export is not the network: {name} has the shape {its.shape} for a batch "
                                  f"of {batch}, not {tuple(ours.shape)}.")
            difference = (ours - torch.from_numpy(its)).abs().max().item()
            if not difference <= TOLERANCE * max(1.0, ours.abs().max().item()):  # NaN is no small difference
                raise ExportError(f"The ONNX export is not the network: {name} differs by {difference:.1g} from "
                                  f"PyTorch's for a batch of {batch}, where at most {TOLERANCE} is allowed.")

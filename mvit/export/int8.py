"""Eight bits for weights and feature maps, and what that costs and gains.

Quantisation is static, by ONNX Runtime: the range of each feature map is that which it has on training images, and the
file has integer operators where it pays. What was tried, by ``checkpoints/strong`` on 2,000 held-out training images
(lossless; float32: 93.80 %), and how many times float32's speed it has with a batch of 64 (two cores with AVX-512
VNNI, 20 turns, on a machine that had other work, so that a tenth says little):

==========================================  ========  =====
quantised                                   accuracy  speed
==========================================  ========  =====
convolutions, linear layers                  93.35 %   1.10
and sums, products, SiLU (what is done)      93.60 %   1.26
the same, a scale for each layer             93.40 %   1.29
the same, ranges by minimum and maximum      93.50 %   1.23
the same, weights of 7 bits                  93.25 %   1.29
and attention, LayerNorm, softmax            93.55 %   1.18
==========================================  ========  =====

Half a point cannot be told apart either. Integers pay little in a network this small, whose maps are converted at every
operator that stays in floats; but the file is a third as large.
"""

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mvit.benchmark.measuring import seconds
from mvit.data.images import Split
from mvit.evaluation.accuracy import wilson_interval
from mvit.inference.variants import Forward, onnx_session, quiet

if TYPE_CHECKING:
    from onnx import ModelProto

# Of the images that the ranges are from: 128 of 32 × 32, fewer of larger ones. All feature maps of all of them are in
# memory, 1 GB.
CALIBRATION_PIXELS = 128 * 32 * 32
BATCH = 64
OPERATORS = ("Conv", "MatMul", "Gemm", "Mul", "Add", "Sigmoid", "Concat")


@dataclass(frozen=True)
class Comparison:
    """An int8 file beside the float32 one that it was made of.

    Attributes:
        split: in words, the images that both were measured on.
        images: how many.
        accuracy_float32, accuracy_int8: fractions.
        accuracy_float32_interval_95, accuracy_int8_interval_95: of each (Wilson).
        loss: of accuracy, a fraction; below zero where int8 is better.
        loss_interval_95: as the same images were answered by both (normal approximation).
        speed: by batch size, how many times float32's, by medians of interleaved passes on this machine.
        milliseconds_float32, milliseconds_int8: the medians, by batch size.
        threads: that they ran on.
    """

    split: str
    images: int
    accuracy_float32: float
    accuracy_float32_interval_95: tuple[float, float]
    accuracy_int8: float
    accuracy_int8_interval_95: tuple[float, float]
    loss: float
    loss_interval_95: tuple[float, float]
    speed: dict[int, float]
    milliseconds_float32: dict[int, float]
    milliseconds_int8: dict[int, float]
    threads: int

    def __str__(self) -> str:
        """For a person to read."""
        low, high = self.loss_interval_95
        return "\n".join([
            f"{self.split}, {self.images:,} images, {self.threads} thread(s)",
            _line("float32", self.accuracy_float32, self.accuracy_float32_interval_95, self.milliseconds_float32),
            _line("int8", self.accuracy_int8, self.accuracy_int8_interval_95, self.milliseconds_int8),
            f"int8 loses {100 * self.loss:.2f} points of accuracy (95 % interval {100 * low:.2f} to {100 * high:.2f}) "
            "and has float32's speed times " + ", ".join(f"{r:.2f} for {n}" for n, r in self.speed.items())])


def _line(name: str, accuracy: float, interval: tuple[float, float], milliseconds: dict[int, float]) -> str:
    times = ", ".join(f"{ms:.2f} ms for {batch}" for batch, ms in milliseconds.items())
    return f"{name:8} accuracy {accuracy:.2%}  (95 % interval {interval[0]:.2%} to {interval[1]:.2%}), {times}"


def quantize(proto: "ModelProto", train: Split) -> "ModelProto":
    """A file of :func:`mvit.export.onnx_file.export` in eight bits, but for attention's two products and the norms.

    Args:
        proto: float32.
        train: training images; the ranges of feature maps are those on some of them (``CALIBRATION_PIXELS``).

    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    count = max(1, CALIBRATION_PIXELS // train.images[0, 0].numel())
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:count]
    batches = iter(train.images[chosen].contiguous().split(1))  # of equal size, as it must be
    weights = {tensor.name for tensor in proto.graph.initializer}
    attention = [node.name for node in proto.graph.node  # products of two feature maps, not of one and weights
                 if node.op_type == "MatMul" and not weights.intersection(node.input)]
    prepared = onnx.ModelProto()
    prepared.CopyFrom(proto)
    add_pre_process_metadata(prepared)  # shapes are in it and BatchNorms folded: no warning that they should be
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder, "int8.onnx")
        quantize_static(prepared, file, _Reader(batches), op_types_to_quantize=list(OPERATORS), per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=attention,
                        calibrate_method=CalibrationMethod.Percentile)
        quantized = onnx.load(file)
    onnx.helper.set_model_props(quantized, {prop.key: prop.value for prop in proto.metadata_props})
    return quantized


class _Reader:
    """Batches of images as ONNX Runtime wants to be given them."""

    def __init__(self, batches: Iterator[Tensor]):
        self._batches = batches

    def get_next(self) -> dict[str, object] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch.numpy()}


def compare(float32: "ModelProto", int8: "ModelProto", test: Split, turns: int = 30) -> Comparison:
    """Measure both on the same images, and their speed in turns.

    Args:
        test: images with labels in the order of the network's classes, that neither was trained or calibrated on.
        turns: in each, either file has 20 passes of one picture and one of 64.
    """
    runs = [_logits(proto) for proto in (float32, int8)]
    right = [torch.cat([run(images) for images in test.images.split(500)]).argmax(1) == test.labels for run in runs]
    lost = right[0].double() - right[1].double()
    half = 1.96 * lost.std().item() / len(test) ** 0.5
    times: dict[int, tuple[list[float], list[float]]] = {1: ([], []), BATCH: ([], [])}
    size = test.images.shape[-1]
    for _ in range(turns):
        for batch, pair in times.items():
            images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
            for run, own in zip(runs, pair, strict=True):
                seconds(run, images, 2 if batch == 1 else 0)  # the caches still hold the other
                own += seconds(run, images, 20 if batch == 1 else 1)
    medians = [{batch: 1000 * statistics.median(pair[i]) for batch, pair in times.items()} for i in (0, 1)]
    return Comparison(
        split=test.name, images=len(test),
        accuracy_float32=right[0].double().mean().item(), accuracy_int8=right[1].double().mean().item(),
        accuracy_float32_interval_95=wilson_interval(int(right[0].sum()), len(test)),
        accuracy_int8_interval_95=wilson_interval(int(right[1].sum()), len(test)),
        loss=lost.mean().item(), loss_interval_95=(lost.mean().item() - half, lost.mean().item() + half),
        speed={batch: medians[0][batch] / medians[1][batch] for batch in times},
        milliseconds_float32=medians[0], milliseconds_int8=medians[1], threads=torch.get_num_threads())


def _logits(proto: "ModelProto") -> Forward:
    runtime = onnx_session(proto)
    return lambda images: torch.from_numpy(runtime.run(["logits"], {"images": images.contiguous().numpy()})[0])

"""``python -m mvit.export CHECKPOINT``: write a checkpoint as ONNX."""

import argparse
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mvit.benchmark.costs import machine
from mvit.data.images import DataError, Split
from mvit.evaluation.images import images_of_run
from mvit.export.int8 import compare, quantize
from mvit.export.onnx_file import BATCHES, TOLERANCE, ExportError, export
from mvit.inference.variants import UnavailableError
from mvit.model import CheckpointError, MobileViT
from mvit.storage.files import write_json, write_whole

if TYPE_CHECKING:
    from onnx import ModelProto


def write(file: Path, proto: "ModelProto") -> None:
    write_whole(file, lambda part: part.write_bytes(proto.SerializeToString()))
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


def write_int8(file: Path, float32: "ModelProto", train: Split, test: Split) -> None:
    """Quantise, measure, write; what was measured goes beside it, as JSON."""
    import onnxruntime

    int8 = quantize(float32, train)
    result = compare(float32, int8, test)
    write(file, int8)
    write_json(file.with_suffix(".json"), {
        "calibrated_on": train.name, **asdict(result), "bytes_float32": float32.ByteSize(),
        "bytes_int8": int8.ByteSize(), "machine": machine(torch.device("cpu")),
        "onnxruntime": onnxruntime.__version__, "date": date.today().isoformat()})
    print(result)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mvit.export", epilog="It needs: pip install onnx onnxscript onnxruntime.",
        description="Write a checkpoint as ONNX. Images go in as uint8 RGB, in batches of any size, and are normalised "
        "in the graph; probabilities and logits come out. The names of the classes are in the metadata.")
    parser.add_argument("checkpoint", help="folder with model.safetensors and config.json, or a Hub repository")
    parser.add_argument("--output", metavar="FILE.onnx", type=Path,
                        help="where to write (default: the checkpoint's name in the current folder)")
    parser.add_argument("--attention", action="store_true",
                        help="more outputs: the attention weights of each layer of each block")
    parser.add_argument("--int8", action="store_true",
                        help="also write FILE.int8.onnx, quantised by training images, and in FILE.int8.json what it "
                        "loses of the accuracy on test images, and how fast it is")
    parser.add_argument("--data", metavar="PATH",
                        help="for --int8: folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    options = parser.parse_args(arguments)
    if options.data is not None and not options.int8:
        parser.error("--data is for --int8")
    file = options.output or Path(Path(options.checkpoint).resolve().name + ".onnx")
    if not file.parent.is_dir():
        print(f"Cannot write {file}: there is no folder {file.parent}.", file=sys.stderr)
        return 2
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        proto = export(model, options.attention)
        write(file, proto)
        print(f"as in PyTorch to {TOLERANCE:g}, in batches of {', '.join(map(str, BATCHES))}")
        if options.int8:
            train, _, test = images_of_run(options.checkpoint, model, options.data)
            write_int8(file.with_suffix(".int8.onnx"), proto, train, test)
    except (CheckpointError, DataError, ExportError, UnavailableError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Cannot write {file}: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m mvit.canonical CHECKPOINT``: its accuracy on canonical pixels, where only copies of them are there."""

import sys

from mvit.commands.arguments import checkpoint_parser, print_any_name
from mvit.data.images import DataError
from mvit.evaluation.canonical import estimate
from mvit.evaluation.images import images_of_run
from mvit.model import CheckpointError, MobileViT
from mvit.storage.files import write_json
from mvit.storage.records import CANONICAL, Records


def main(arguments: list[str] | None = None) -> int:
    parser = checkpoint_parser("canonical", f"Make a checkpoint's {CANONICAL}: its accuracy on the canonical test "
                               "images, estimated from that on JPEG copies and from lossless held-out images.")
    options = parser.parse_args(arguments)
    try:
        model, test = MobileViT.from_pretrained(options.checkpoint), Records.read(options.checkpoint).evaluation
        _, held_out, _ = images_of_run(options.checkpoint, model, options.data)
        if not held_out or not test:
            raise DataError(f"{options.checkpoint} records neither held-out images nor a test.")
        result = estimate(model, held_out, test)
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    write_json(options.checkpoint / CANONICAL, result)
    low, high = result["accuracy_interval_95"]
    print(f"Canonical test images: {result['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}), estimated:\n"
          f"{result['test_accuracy']:.2%} on the {result['test']}, and what copies cost: {result['held_out']} "
          f"{result['held_out_accuracy']:.2%}, as JPEG copies {result['held_out_accuracy_as_jpeg']:.2%}.")
    return 0


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

"""``python -m mvit.interventions CHECKPOINT --data PATH``: what it costs to make parts of a network useless."""

import argparse
import sys
from pathlib import Path

from mvit.data.images import DataError, load_split
from mvit.evaluation.accuracy import with_classes_of
from mvit.explain.interventions import as_table, measure
from mvit.model import CheckpointError, MobileViT
from mvit.storage.checkpoint import INTERVENTIONS
from mvit.storage.files import write_json


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.interventions", description="Make a checkpoint's "
                                     f"{INTERVENTIONS}: what it costs to make attention uniform, to mute a head, or to "
                                     "cover a patch.")
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    options = parser.parse_args(arguments)
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        test = load_split(options.data, "test", model.config.image_size)
        costs = measure(model, with_classes_of(model, test))
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    write_json(options.checkpoint / INTERVENTIONS, costs)
    print(as_table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m mvit.familiarity CHECKPOINT --data PATH``: what a checkpoint's network takes for unusual."""

import sys
from pathlib import Path

import torch

from mvit.commands.arguments import checkpoint_parser, print_any_name
from mvit.data.images import DataError, load_split
from mvit.data.out_of_distribution import Strangers, strangers
from mvit.evaluation.familiarity import familiarity, tell
from mvit.evaluation.images import images_of_run
from mvit.inference.familiarity import RECORD, Familiarity
from mvit.inference.variants import to_channels_last
from mvit.model import CheckpointError, MobileViT
from mvit.storage.formats import Told
from mvit.storage.records import Records

CHOSEN_BY = {"cat", "truck"}  # of the classes left out; the others are for reporting alone


def main(arguments: list[str] | None = None) -> int:
    parser = checkpoint_parser("familiarity", f"Make a checkpoint's {RECORD}: beyond what distance from its training "
                               "images a picture is called unusual.")
    parser.add_argument("--compare", action="store_true", help="also measure how well it and other scores tell "
                        "pictures of none of CIFAR-10's classes, which installed packages have or which are drawn")
    parser.add_argument("--left-out", nargs=3, metavar=("CHECKPOINT", "PATH", "OTHERS"),
                        help="and another network, by the data it was trained on, from the test images in OTHERS, of "
                        "classes that it was trained without")
    options = parser.parse_args(arguments)
    try:
        model = to_channels_last(MobileViT.from_pretrained(options.checkpoint))
        train, held_out, test = images_of_run(options.checkpoint, model, options.data)
        told = tell(model, train, test, strangers(model.config.image_size)) if options.compare else []
        told += left_out(*options.left_out) if options.left_out else []
        made = familiarity(model, train, held_out, test, told)
        before = Familiarity.load(options.checkpoint, model)
        if not told and before and before.record["threshold"] == made.record["threshold"]:
            made.record["told"] = before.record["told"]  # measured before, and of the same weights
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    made.save(options.checkpoint)
    record = made.record
    print(f"Unusual beyond {record['threshold']:.3f}: {record['calibrated_share']:.1%} of {record['calibrated_on']}; "
          f"{record['test_share']:.1%} of the {record['test']}.")
    for row in record["told"]:
        print(f"{row['pictures']:55} " + "  ".join(f"{name} {area:.3f}" for name, (area, *_) in row["auroc"].items()))
    return 0


def left_out(checkpoint: str, data: str, others: str) -> list[Told]:
    """How well a network tells classes that it was trained without from those that it knows."""
    model = to_channels_last(MobileViT.from_pretrained(checkpoint))
    size, known = model.config.image_size, model.config.class_names
    train, _, test = images_of_run(checkpoint, model, data)
    unknown = load_split(others, "test", size)
    sets = [Strangers(f"{name}, a class left out of a training", name in CHOSEN_BY, images,
                      torch.arange(len(images)))
            for label, name in enumerate(unknown.class_names)
            for images in (unknown.images[unknown.labels == label],)]
    run = Records.read(Path(checkpoint)).run
    how = f"recipe {run['settings']['recipe']}, {run['settings']['epochs']} epochs, " if run else ""
    return tell(model, train, test, sets,
                f"{how}trained on {', '.join(known[:-1])} and {known[-1]} alone")


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

"""``python -m mvit.evaluate CHECKPOINT --data PATH``: how good a checkpoint is."""

import argparse
import json
import sys
from pathlib import Path

from mvit.commands.arguments import print_any_name
from mvit.data.images import DataError, hold_out, load_split
from mvit.data.pictures import FIT
from mvit.evaluation.accuracy import as_table, cut_and_fit, evaluate, predict, with_classes_of
from mvit.evaluation.images import held_out_of, test_images
from mvit.evaluation.mistakes import as_lines, worst_mistakes
from mvit.model import CheckpointError, MobileViT
from mvit.storage.records import Records


def aspect(text: str) -> tuple[int, int]:
    """Two numbers with a colon, as 4:3; anything that is no aspect is a ValueError."""
    width, height = map(int, text.split(":"))
    if min(width, height) < 1:
        raise ValueError("an aspect has two whole numbers above zero")
    return width, height


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.evaluate", description="Measure a checkpoint on images.")
    parser.add_argument("checkpoint", help="folder with model.safetensors and config.json, or a Hub repository")
    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    parser.add_argument("--split", choices=("test", "train", "validation"), default="test")
    parser.add_argument("--validation", metavar="N", type=int,
                        help="how many training images were held out, for --split validation (default: as many as "
                             "its run.json says, else 2000)")
    parser.add_argument("--aspect", metavar="W:H", type=aspect,
                        help="cut the images to this aspect first, and fit them to a square again by --fit")
    parser.add_argument("--fit", choices=("crop", "letterbox"), default=FIT,
                        help="how they are fitted (default: %(default)s, as on the page)")
    parser.add_argument("--worst", metavar="N", type=int,
                        help="also list the N images that are answered wrongly with the most confidence, by file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.worst is not None and options.worst < 1:
        parser.error("--worst is at least 1")
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        records = Records.read(Path(options.checkpoint))
        split = (test_images(options.checkpoint, model, options.data) if options.split == "test" else
                 load_split(options.data, "train", model.config.image_size, **records.reading))
        if options.split == "validation":
            of_run = records.run["settings"].get("validation") if records.run else None
            count = options.validation or of_run or 2000
            split = (held_out_of(records, split, count) if count == of_run else hold_out(split, count))[1]
        if options.aspect:
            width, height = options.aspect
            split = cut_and_fit(split, width, height, options.fit)
        split = with_classes_of(model, split)
        logits = predict(model, split)
        result = evaluate(model, split, logits)
    except (CheckpointError, DataError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    worst = worst_mistakes(model, split, logits, options.worst) if options.worst else []
    if options.json:
        print(json.dumps({**result, "worst": worst} if options.worst else result, indent=2))
    else:
        print(as_table(result), *(["", as_lines(worst)] if options.worst else []), sep="\n")
    return 0


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

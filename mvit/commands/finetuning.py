"""``python -m mvit.finetuning``: what fine-tuning gains over training from nothing, on a few images a class."""

import argparse
import sys
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import torch

from mvit.commands.arguments import print_any_name
from mvit.data.images import DataError, load_train_and_test
from mvit.storage.files import CHECKPOINTS, write_json
from mvit.storage.formats import FineTuning, Trials
from mvit.training.earlier import load_earlier
from mvit.training.finetuning import accuracies
from mvit.training.processes import prepare
from mvit.training.settings import RECIPES, Settings, TrainingError


def candidates(weights: str) -> dict[str, Settings]:
    """What is compared: in everything but what it begins with, and what of it learns, the same recipe."""
    recipe = replace(RECIPES["finetune"], weights=weights)
    return {
        # At the better of two rates, chosen as the recipe's was: 52.4 % with 3e-3, 50.9 % with 1e-3.
        "from nothing": replace(recipe, weights="", learning_rate=3e-3, freeze_epochs=0, body_rate=1.0),
        "the last layer alone": replace(recipe, freeze_epochs=recipe.epochs),
        "recipe `finetune`": recipe,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.finetuning", description="Measure what fine-tuning gains "
                                     "over training from nothing, on a few images a class.")
    parser.add_argument("--weights", metavar="PATH", required=True,
                        help="checkpoint that was trained on none of the task's classes")
    parser.add_argument("--data", metavar="PATH", required=True, help="the task: a folder with train/ and test/")
    parser.add_argument("--images", type=int, default=50, metavar="N", help="a class (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="how often images are drawn and networks trained (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="PATH", default=CHECKPOINTS / "finetuning.json",
                        help="file to write (default: checkpoints/finetuning.json)")
    options = parser.parse_args(arguments)
    if not 0 < options.images or not 1 < options.seeds <= 10:
        parser.error("--images is at least 1, and --seeds from 2 to 10")
    prepare(torch.device("cpu"))
    options.output.parent.mkdir(parents=True, exist_ok=True)  # now: not after hours
    try:
        weights = load_earlier("checkpoint", Path(options.weights))
        train, test = load_train_and_test(options.data, weights.config.image_size)
        if (fewest := int(train.labels.bincount().min())) < options.images:
            raise DataError(f"There are not {options.images} images of each class, but {fewest} of one: give --images.")
        trials: list[Trials] = []
        for what, settings in candidates(options.weights).items():
            found = accuracies(settings, train, test, options.images, range(options.seeds))
            print(f"{what}: {', '.join(f'{accuracy:.2%}' for accuracy in found)}", flush=True)
            differing = {name: value for name, value in asdict(settings).items()
                         if value != getattr(Settings(), name) and name not in ("recipe", "weights", "seed")}
            trials.append({"what": what, "settings": differing, "accuracies": found})
    except (DataError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2
    write_json(options.output, FineTuning(
        weights=Path(options.weights).name, trained_on=list(weights.config.class_names),
        classes=list(train.class_names), images_per_class=options.images, split=test.name, images=len(test),
        trials=trials, date=date.today().isoformat(), torch=torch.__version__, device="cpu"))
    return 0


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

"""Train MobileViT-XXS on CIFAR-10: ``python train.py``; all options: ``python train.py --help``.

On several processes or cards: ``torchrun --nproc-per-node=N train.py``.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from mvit.data.images import DataError
from mvit.training.optimizers import OPTIMIZERS
from mvit.training.output import OutputError, checkpoint_folder, run_folder
from mvit.training.run import RECIPES, SCHEDULES, Settings, TrainingError, load_state, pick_device, run
from mvit.training.step import fast_in_bfloat16


def from_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"this is no JSON ({error}), as '{{\"stem_channels\": 24}}' is") from error


def parse(arguments: list[str] | None) -> argparse.Namespace:
    reference = RECIPES["reference"]
    parser = argparse.ArgumentParser(
        description="Train MobileViT-XXS and write its checkpoint. The defaults shown are the reference recipe's.",
        epilog="A run that was stopped goes on with --resume (and the same --output), with the settings it began with.",
    )
    parser.add_argument("--recipe", choices=RECIPES, default="reference",
                        help="named set of defaults for the settings below (default: %(default)s)")

    # No defaults here: what is not given comes from the recipe, or on --resume from the run.
    settings = parser.add_argument_group("settings", argument_default=argparse.SUPPRESS)
    settings.add_argument("--epochs", type=int, metavar="N",
                          help=f"passes over the images (default: {reference.epochs})")
    settings.add_argument("--batch-size", type=int, metavar="N",
                          help=f"images a step, of all processes together (default: {reference.batch_size})")
    settings.add_argument("--optimizer", choices=OPTIMIZERS,
                          help=f"muon: for the matrices, with AdamW for the rest (default: {reference.optimizer})")
    settings.add_argument("--lr", dest="learning_rate", type=float, metavar="X",
                          help=f"the optimizers' highest learning rate (default: {reference.learning_rate:g})")
    settings.add_argument("--weight-decay", type=float, metavar="X",
                          help=f"the optimizers' weight decay (default: {reference.weight_decay:g})")
    settings.add_argument("--decay-all", action=argparse.BooleanOptionalAction,
                          help=f"decay biases and norms too (default: {reference.decay_all})")
    settings.add_argument("--schedule", choices=SCHEDULES,
                          help=f"what the learning rate does over the run (default: {reference.schedule})")
    settings.add_argument("--warmup-epochs", type=float, metavar="X",
                          help=f"epochs over which the learning rate rises (default: {reference.warmup_epochs:g})")
    settings.add_argument("--label-smoothing", type=float, metavar="X",
                          help=f"share of the target spread over all classes (default: {reference.label_smoothing:g})")
    settings.add_argument("--ema", type=float, metavar="X",
                          help="what a moving average of the weights keeps of itself in a step; it is shipped in their "
                               f"place (default: {reference.ema:g}, none)")
    settings.add_argument("--randaugment", type=int, metavar="M",
                          help="change every training image by one of RandAugment's operations, as much as M of 30 "
                               f"(default: {reference.randaugment}, none)")
    settings.add_argument("--cutout", type=int, metavar="N",
                          help="blank a square of N pixels in every training image "
                               f"(default: {reference.cutout}, none)")
    settings.add_argument("--teacher", metavar="PATH",
                          help="learn from the answers of the checkpoint in this folder, too (default: none)")
    settings.add_argument("--distillation", type=float, metavar="X",
                          help=f"share of the target that is the teacher's (default: {reference.distillation:g})")
    settings.add_argument("--weights", metavar="PATH",
                          help="begin with the weights of the checkpoint in this folder, of a run on the same images "
                               "(default: random ones); another --seed than its own has other crops and flips")
    settings.add_argument("--bfloat16", action=argparse.BooleanOptionalAction,
                          help="compute in bfloat16 what is faster in it (default: on a CPU with instructions for it, "
                               "AMX)")
    settings.add_argument("--seed", type=int, metavar="N",
                          help=f"of the first weights and of every random draw (default: {reference.seed})")
    settings.add_argument("--validation", type=int, metavar="N",
                          help="hold out N training images, watch those and leave the test images alone (default: 0)")
    settings.add_argument("--final-test", action=argparse.BooleanOptionalAction,
                          help="with images held out, read the test images after all, once, at the end "
                               f"(default: {reference.final_test})")
    settings.add_argument("--model", type=from_json, metavar="JSON",
                          help="changes to the architecture, as config.json has it, such as '{\"stem_channels\": 24}'")

    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/<class>/ and test/<class>/ (default: download CIFAR-10 into data/)")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of these that is there)")
    parser.add_argument("--output", type=Path, metavar="PATH",
                        help="folder for the checkpoint: missing, empty, or with an earlier one, which is replaced at "
                             "the end (default: checkpoints/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    return parser.parse_args(arguments)


def settings_for(options: argparse.Namespace, device: torch.device) -> Settings:
    """The recipe with what was typed in its place; for a resumed run what it began with, which may not change."""
    typed = {name: getattr(options, name) for name in asdict(RECIPES[options.recipe]) if hasattr(options, name)}
    if not options.resume:
        return replace(RECIPES[options.recipe], **{"bfloat16": fast_in_bfloat16(device), **typed})
    began = load_state(run_folder(checkpoint_folder(options.recipe, options.output)))["settings"]
    if options.output:
        typed.pop("recipe")  # its default says nothing; the folder names the run
    for name, value in typed.items():
        if getattr(began, name) != value:
            raise TrainingError(f"The run began with {name} {getattr(began, name)}; it cannot go on with {value}.")
    return began


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    launcher = ["torchrun", f"--nproc-per-node={processes}"] if processes else ["python"]
    command = shlex.join([*launcher, "train.py", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        device = pick_device(options.device)
        run(settings_for(options, device), options.data, options.output, device, command, options.resume)
    except (DataError, OutputError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. If it was training, the same command with --resume goes on after the last whole epoch.",
              file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a system that ends, or of torchrun: as Ctrl-C
    sys.exit(main())

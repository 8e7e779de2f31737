"""Train MobileViT-XXS on CIFAR-10: ``python train.py``; all options: ``python train.py --help``.

On several processes or cards: ``torchrun --nproc-per-node=N train.py``.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from mvit.commands.arguments import print_any_name
from mvit.data.images import DataError
from mvit.networks.sizes import SIZES
from mvit.training.output import OutputError, checkpoint_folder, run_folder
from mvit.training.processes import pick_device
from mvit.training.run import run
from mvit.training.settings import RECIPES, Settings, TrainingError
from mvit.training.state import State
from mvit.training.step import fast_in_bfloat16


def changes(text: str) -> object:
    try:
        return SIZES[text] if text in SIZES else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"this is neither one of {', '.join(SIZES)}, nor JSON ({error}), as "
                                         "'{\"stem_channels\": 24}' is") from error


# How a setting of a type is typed: what reads it, and what stands for it in --help.
TYPES: dict[object, tuple[Callable[[str], object], str]] = {
    int: (int, "N"), float: (float, "X"), str: (str, "PATH"), dict[str, Any] | None: (changes, "CHANGES"),
}


def add_settings(group: argparse._ArgumentGroup) -> None:
    """An option for each field of Settings that says what it is."""
    # No defaults here: what is not given comes from the recipe, or on --resume from the run.
    for setting in (each for each in fields(Settings) if each.metadata):
        more = dict(setting.metadata)
        flag, default = more.pop("flag", "--" + setting.name.replace("_", "-")), setting.default
        shown = more.pop("shown", f"{default:g}" if setting.type is float else default)
        if setting.type is bool:
            more["action"] = argparse.BooleanOptionalAction
        elif "choices" not in more:
            kind, metavar = TYPES[setting.type]
            more = {"type": kind, "metavar": metavar, **more}
        group.add_argument(flag, dest=setting.name, **{**more, "help": f"{more['help']} (default: {shown})"})


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train MobileViT-XXS and write its checkpoint. The defaults shown are the reference recipe's.",
        epilog="A run that was stopped goes on with --resume (and the same --output), with the settings it began with.",
    )
    parser.add_argument("--recipe", choices=RECIPES, default="reference",
                        help="named set of defaults for the settings below (default: %(default)s)")
    add_settings(parser.add_argument_group("settings", argument_default=argparse.SUPPRESS))
    parser.add_argument("--data", metavar="PATH",
                        help="folder with a folder of pictures for each class, or with train/<class>/ and "
                             "test/<class>/ (default: download CIFAR-10 into data/)")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of these that is there)")
    parser.add_argument("--log", choices=("tensorboard",),
                        help="also write event files below runs/tensorboard, to be watched in a browser (an extra: pip "
                             "install tensorboard)")
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
    named = replace(RECIPES[options.recipe], **{name: typed[name] for name in ("network", "stem") if name in typed})
    began = State.load(run_folder(checkpoint_folder(named.checkpoint, options.output))).settings
    if options.output:
        typed.pop("recipe")  # its default says nothing; the folder names the run
    for name, value in typed.items():
        if not began.agree(name, value):
            raise TrainingError(f"The run began with {name} {getattr(began, name)}; it cannot go on with {value}.")
    return began


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    launcher = ["torchrun", f"--nproc-per-node={processes}"] if processes else ["python"]
    command = shlex.join([*launcher, "train.py", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        device = pick_device(options.device)
        run(settings_for(options, device), options.data, options.output, device, command, options.resume,
            bool(options.log))
    except (DataError, OutputError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. If it was training, the same command with --resume goes on after the last whole epoch.",
              file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    print_any_name()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a system that ends, or of torchrun: as Ctrl-C
    sys.exit(main())

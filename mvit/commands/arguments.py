"""What commands have in common: what those that add to a checkpoint are given, and how all print."""

import argparse
import io
import sys
from pathlib import Path


def checkpoint_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for ``python -m mvit.NAME CHECKPOINT [--data PATH]``."""
    parser = argparse.ArgumentParser(prog=f"python -m mvit.{name}", description=description)
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    return parser


def print_any_name() -> None:
    """Have what the terminal's encoding lacks printed as escapes: a class may have a name in any script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")

"""What the commands that add to a checkpoint are all given."""

import argparse
from pathlib import Path


def checkpoint_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for ``python -m mvit.NAME CHECKPOINT [--data PATH]``."""
    parser = argparse.ArgumentParser(prog=f"python -m mvit.{name}", description=description)
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--data", metavar="PATH",
                        help="folder with train/ and test/; CIFAR-10 is downloaded if omitted")
    return parser

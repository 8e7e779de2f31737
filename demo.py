"""The page: ``python demo.py``. Drop a picture in and see what a small MobileViT makes of it.

Host and port as everywhere in Gradio: the environment variables GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

import argparse
import sys
from pathlib import Path

import torch

from mvit import CheckpointError
from mvit.page.app import build_page
from mvit.page.checkpoints import find_checkpoints
from mvit.page.crowd import app_options, keep_memory_together
from mvit.page.theme import CSS, HEAD, THEME
from mvit.storage.files import CHECKPOINTS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Open the page in a browser: http://127.0.0.1:7860 unless "
                                     "GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise.")
    parser.add_argument("--checkpoint", type=Path, metavar="PATH",
                        help="folder of the weights to begin with (default: the best in checkpoints/)")
    options = parser.parse_args(arguments)
    checkpoints = [options.checkpoint.resolve()] if options.checkpoint else find_checkpoints()
    if not checkpoints:
        print(f"There are no weights in {CHECKPOINTS}: train some with python train.py.", file=sys.stderr)
        return 2
    try:
        page = build_page(checkpoints)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 2
    # Two threads of two cores each would wait for one another; one visitor alone has his answer as soon.
    torch.set_num_threads(1)
    keep_memory_together()
    # max_threads: handlers at work at once. They share one interpreter, so that more would not be faster; some more
    # than there are cores, since some wait for files. state_session_capacity: Gradio keeps a copy of the page's
    # configuration (200 kB) for each visitor and for each call of the endpoint, and of its own accord 10,000 of them.
    # It holds the choices of the page's controls and nothing that cannot be had again.
    page.launch(theme=THEME, css=CSS, head=HEAD, max_file_size="50mb", max_threads=8, state_session_capacity=300,
                app_kwargs=app_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())

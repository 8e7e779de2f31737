"""The page: ``python demo.py``. Drop a picture in and see what a small MobileViT makes of it.

Host and port as everywhere in Gradio: the environment variables GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

import argparse
import os
import sys
from pathlib import Path

from mvit import CheckpointError
from mvit.data.folders import DataError, find_splits
from mvit.page.serving import ServingError, check_address, end_by_signals, kept_for_good, temporary_files


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Open the page in a browser: http://127.0.0.1:7860 unless "
                                     "GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise.")
    parser.add_argument("--checkpoint", type=Path, metavar="PATH",
                        help="folder of the weights to begin with (default: the best in checkpoints/)")
    parser.add_argument("--data", type=Path, metavar="PATH",
                        help="folder of pictures that they were trained and evaluated on: some are shown to every "
                        "visitor, as examples and behind the confusion matrix")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options, ending = parse(arguments), end_by_signals()
    try:
        check_address()
        if options.data:
            find_splits(options.data.expanduser())
        with temporary_files():
            with kept_for_good():
                from mvit.page import app  # now: it imports Gradio, which reads the address

                page = app.build_page([options.checkpoint.resolve()] if options.checkpoint else [], options.data)
            try:
                app.launch(page)
                ending.wait()
            finally:
                app.close()
    except (CheckpointError, DataError, ServingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # whatever threads of the server still wait for visitors

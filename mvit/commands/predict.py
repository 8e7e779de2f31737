"""``python -m mvit.predict CHECKPOINT FILES_OR_FOLDERS``: classify pictures."""

import argparse
import io
import os
import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from mvit.data.folders import picture_files
from mvit.inference.prediction import Prediction, as_csv, as_json, as_text, predict
from mvit.inference.variants import to_channels_last
from mvit.model import CheckpointError, MobileViT

EXIT = """exit status: 0 if all was classified; 1 if some files could not be read, which are named on stderr and
passed over; 2 if nothing was classified. Only results go to stdout, in UTF-8."""


def positive(text: str) -> int:
    """A whole number above zero; anything else is a ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError("not above zero")
    return number


class Run:
    """What was classified and what was not, told on the way: problems on stderr, beside the progress bar."""

    def __init__(self) -> None:
        self.classified = self.refused = 0

    def refuse(self, name: str, problem: str) -> None:
        self.refused += 1
        tqdm.write(f"{name}: {problem}", file=sys.stderr)

    def files(self, paths: Iterable[str]) -> Iterator[str]:
        """The files that were named, whatever they are, and the pictures in the folders that were."""
        for path in paths:
            if not os.path.isdir(path):
                yield path
                continue
            none, before = True, self.refused
            for file in picture_files(path, lambda error: self.refuse(error.filename, f"{error.strerror}.")):
                none = False
                yield file
            if none and self.refused == before:
                self.refuse(path, "There are no pictures in this folder.")

    def readable(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            if prediction.problem:
                self.refuse(prediction.file, prediction.problem)
            else:
                self.classified += 1
                yield prediction

    @property
    def status(self) -> int:
        return (1 if self.classified else 2) if self.refused else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.predict", description="Classify pictures.", epilog=EXIT)
    parser.add_argument("checkpoint", help="folder with model.safetensors and config.json, or a Hub repository")
    parser.add_argument("files", nargs="+", metavar="FILE_OR_FOLDER",
                        help="pictures, and folders, of which all pictures at any depth are taken but hidden ones")
    parser.add_argument("--top", metavar="N", type=positive, default=1,
                        help="how many classes to name, the likeliest first (default: %(default)s)")
    parser.add_argument("--batch-size", metavar="N", type=positive, default=64,
                        help="how many pictures are in memory at once (default: %(default)s)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", dest="write", action="store_const", const=as_json, default=as_text,
                     help="print one JSON array")
    how.add_argument("--csv", dest="write", action="store_const", const=as_csv, help="print a CSV table")
    options = parser.parse_args(arguments)
    # A name that is no UTF-8 keeps its bytes; in JSON it becomes an escape, which reads as the same name.
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(encoding="utf-8",
                           errors="backslashreplace" if options.write is as_json else "surrogateescape")
    try:
        model = to_channels_last(MobileViT.from_pretrained(options.checkpoint))
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 2
    top, run = min(options.top, len(model.config.class_names)), Run()
    files = list(run.files(options.files))
    with tqdm(predict(model, files, top, options.batch_size), total=len(files), unit=" pictures", disable=None,
              leave=False) as predictions:
        for text in options.write(run.readable(predictions), top):
            tqdm.write(text, end="")
    return run.status


def command() -> int:
    """``main``, which ends without a traceback when the reader of its pipe leaves early, and at Ctrl-C."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 141  # 128 + SIGPIPE, as of any program
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(command())

"""Bring the tables in the README and in the checkpoints' cards up to date: ``python -m mvit.card``.

With ``--ablation RUN ...`` the runs in those folders are taken into the table of what was tried.
"""

import argparse
import sys
from pathlib import Path

from mvit.documents.ablation import collect
from mvit.documents.tables import texts, with_tables
from mvit.storage.files import CHECKPOINTS, write_text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.card", description="Bring the tables in the README and in "
                                     "the checkpoints' cards up to date.")
    parser.add_argument("--ablation", nargs="+", type=Path, metavar="RUN", default=[],
                        help="folders of finished runs with --validation, for the table of what was tried")
    options = parser.parse_args(arguments)
    try:
        if options.ablation:
            collect(options.ablation, CHECKPOINTS / "ablation.json")
    except (OSError, KeyError, ValueError) as error:
        print(f"This is no finished run that held images out: {error}", file=sys.stderr)
        return 2
    for file in texts(CHECKPOINTS.parent):
        write_text(file, with_tables(file.read_text(encoding="utf-8"), CHECKPOINTS, file.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())

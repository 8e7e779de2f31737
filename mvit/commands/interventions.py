"""``python -m mvit.interventions CHECKPOINT --data PATH``: what it costs to make parts of a network useless."""

import sys

from mvit.commands.arguments import checkpoint_parser, print_any_name
from mvit.data.images import DataError
from mvit.evaluation.images import test_images
from mvit.explain.interventions import as_table, measure
from mvit.model import CheckpointError, MobileViT
from mvit.storage.files import write_json
from mvit.storage.records import INTERVENTIONS
from mvit.training.processes import keep_freed_memory


def main(arguments: list[str] | None = None) -> int:
    parser = checkpoint_parser("interventions", f"Make a checkpoint's {INTERVENTIONS}: what it costs to make attention "
                               "uniform, to mute a head, or to cover a patch.")
    options = parser.parse_args(arguments)
    keep_freed_memory()  # it is minutes of work with large maps
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        costs = measure(model, test_images(options.checkpoint, model, options.data))
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    write_json(options.checkpoint / INTERVENTIONS, costs)
    print(as_table(costs))
    return 0


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

"""``python -m mvit.probes CHECKPOINT``: make a checkpoint's linear probes."""

import sys

from mvit.commands.arguments import checkpoint_parser, print_any_name
from mvit.data.images import DataError
from mvit.evaluation.images import images_of_run
from mvit.explain.probes import FILE, train_probes
from mvit.model import CheckpointError, MobileViT


def main(arguments: list[str] | None = None) -> int:
    options = checkpoint_parser("probes", f"Make a checkpoint's {FILE}.").parse_args(arguments)
    try:
        model = MobileViT.from_pretrained(options.checkpoint)
        train, _, test = images_of_run(options.checkpoint, model, options.data)
        probes = train_probes(model, train, test)
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    probes.save(options.checkpoint)
    for name, accuracy in probes.accuracy.items():
        print(f"{name:8} {accuracy:.2%} on {probes.measured_on}")
    return 0


if __name__ == "__main__":
    print_any_name()
    sys.exit(main())

"""``python -m mvit.throughput``: how fast training is."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mvit.storage.files import CHECKPOINTS, write_json
from mvit.training import throughput
from mvit.training.processes import pick_device
from mvit.training.rivals import compare_networks
from mvit.training.settings import RECIPES, TrainingError
from mvit.training.step import fast_in_bfloat16


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mvit.throughput", description=throughput.__doc__.split("\n\n")[1])
    parser.add_argument("--recipe", choices=RECIPES, default="reference", help="ours (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of these that is there)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, metavar="N", help="batches in a turn (default: %(default)s)")
    parser.add_argument("--compared", action="store_true", help="instead our loop with ResNet-50 in our place")
    parser.add_argument("--output", type=Path, metavar="PATH", help="file to write (default: "
                        "checkpoints/training_speed.json, of other networks that in checkpoints/compared)")
    options = parser.parse_args(arguments)
    if options.compared and options.recipe != "reference":
        parser.error("--compared is by the reference recipe")
    if options.rounds < 1 or options.steps < 1:
        parser.error("--rounds and --steps are at least 1")
    try:
        device = pick_device(options.device)
        output = options.output or CHECKPOINTS / ("compared" if options.compared else "") / "training_speed.json"
        output.parent.mkdir(parents=True, exist_ok=True)  # now: not after minutes
        if options.compared:
            rivals = compare_networks(device, options.rounds, options.steps)
            write_json(output, rivals)
            for name, speed in rivals["images_per_second"].items():
                print(f"{name:40} {speed:7.0f} images/s{' in bfloat16' if rivals['bfloat16'][name] else ''}")
            return 0
        settings = replace(RECIPES[options.recipe], bfloat16=fast_in_bfloat16(device))
        result = throughput.compare(settings, device, options.rounds, options.steps)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 2
    write_json(output, result)
    print(f"{result['machine']}, {result['threads']} thread(s), torch {result['torch']}")
    for name, speed in result["images_per_second"].items():
        print(f"{name:20} {speed:7.0f} images/s, {result['ratio'].get(name, 1):.2f} x; twenty epochs in "
              f"{result['minutes_for_20_epochs'][name]:.1f} minutes")
    print("a step: " + ", ".join(f"{kind} {share:.0%}" for kind, share in result["step"].items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

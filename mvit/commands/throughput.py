"""``python -m mvit.throughput``."""

import sys

from mvit.training.throughput import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m mvit.benchmark``."""

import sys

from mvit.benchmark.measuring import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m mvit.evaluate``."""

import sys

from mvit.evaluation.accuracy import main

if __name__ == "__main__":
    sys.exit(main())

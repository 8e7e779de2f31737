"""``python -m mvit.probes``."""

import sys

from mvit.explain.probes import main

if __name__ == "__main__":
    sys.exit(main())

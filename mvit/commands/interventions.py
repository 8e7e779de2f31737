"""``python -m mvit.interventions``."""

import sys

from mvit.explain.interventions import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m distilbert` is `distilbert`."""

import sys

from distilbert.cli import main

if __name__ == "__main__":
    sys.exit(main())

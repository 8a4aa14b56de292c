"""python -m lit_makemore <command>: the same as python train.py <command>."""

import sys

from lit_makemore.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""python train.py <command>; python train.py --help lists the commands."""

import sys

from lit_makemore.cli import main

if __name__ == "__main__":
    sys.exit(main())

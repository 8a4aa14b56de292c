"""How the user has started this program, for help that can be typed as it stands."""

import sys
from pathlib import Path


def program() -> str:
    """`lit_makemore` if that is installed and in use, `python -m lit_makemore`, or the script."""
    name = Path(sys.argv[0]).stem
    if name == "lit_makemore":
        return name
    return "python -m lit_makemore" if name in ("__main__", "cli") else "python train.py"

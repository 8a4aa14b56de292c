"""Reading what finished runs have reached, from their folders."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from lit_makemore.runs.folder import is_finished
from lit_makemore.runs.resume import that_count


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Args:
        folder: where it lies.
        options: those that change its result, by their names as they are typed; without the seed.
        seed: of the parameters and of the order of the minibatches.
        summary: the content of its summary.json.
    """

    folder: Path
    options: dict[str, Any]
    seed: int
    summary: dict[str, Any]


def read(folder: Path) -> Finished:
    """Reads the folder of a finished run.

    Raises:
        FileNotFoundError: it is no run folder, or the run is not finished.
        ValueError: a file in it is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder} is no run folder: there is no config.yaml in it")
    if not is_finished(folder):
        raise FileNotFoundError(f"{folder} is not finished; continue it with fit --resume {folder}")
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        summary["val_loss"], summary["wall_s"], summary["data"]["sha256"]  # they are all there
        options = that_count(yaml.safe_load((folder / "config.yaml").read_text("utf-8")))
        return Finished(folder, options, options.pop("seed_everything"), summary)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} is damaged ({error!r}); train it again") from error


def all_below(paths: Iterable[Path]) -> list[Finished]:
    """Finished runs: each path is a run folder, or a folder of some; there, others are left out.

    Raises:
        FileNotFoundError, ValueError: see `read`; also a folder without a finished run.
    """
    runs = {}
    for path in paths:
        inside = [path]
        if path.is_dir() and not (path / "config.yaml").is_file():
            inside = sorted(config.parent for config in path.glob("*/config.yaml"))
            left_out = [run.name for run in inside if not is_finished(run)]
            if left_out:
                print(f"{path}: not finished: {', '.join(left_out)}", file=sys.stderr)
            inside = [run for run in inside if run.name not in left_out]
            if not inside:
                raise FileNotFoundError(f"{path} is no run folder, and has no finished run in it")
        runs.update({run.resolve(): read(run) for run in inside})
    return list(runs.values())


def losses(runs: Iterable[Finished], key: str) -> list[float]:
    """A loss of several runs, in nats, without those that have none: a split may be empty."""
    return [run.summary[key] for run in runs if run.summary.get(key) is not None]


def mean_and_sd(values: Sequence[float]) -> str:
    """ "2.0922 ± 0.0019"; one value alone has no standard deviation; "–" for none."""
    if not values:
        return "–"
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"

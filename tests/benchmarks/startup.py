"""Measures the seconds from the start of a process to its first ordinary step, or of an import.

python -m tests.benchmarks.startup fit|import
"""

import sys
from time import perf_counter

begun = perf_counter()


def first_step() -> float:
    from lit_makemore import cli
    from lit_makemore.training.module import LitMLP

    class Reached(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Reached

    LitMLP.training_step = stop  # type: ignore[method-assign]
    arguments = "fit --config configs/names.yaml --trainer.fast_dev_run true".split()
    try:
        cli.main(arguments)
    except Reached:
        return perf_counter() - begun
    raise AssertionError("no step was taken")


def import_lightning() -> float:
    import lightning.pytorch  # noqa: F401

    return perf_counter() - begun


if __name__ == "__main__":
    print({"fit": first_step, "import": import_lightning}[sys.argv[1]]())

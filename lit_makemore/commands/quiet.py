"""What a command puts around Lightning: fewer messages, one kind of error, closed connections."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import distributed

from lit_makemore.runs.signals import Stopped
from lit_makemore.training.lightning_internals import wait_for_nobody_at_exit

SILENCED = [
    "The `srun` command is available",  # on every login node of a cluster
    "GPU available but not used",  # devices.py says so, or the user has
    r"You passed `Trainer\(accelerator='cpu', precision='16",  # an error here
    "Be aware that when using `ckpt_path`",  # validate and test do not need the callbacks of fit
    "The number of training batches .* is smaller than the logging interval",  # we count updates
    "Checkpoint directory .* exists and is not empty",  # that of a resumed run
    "torch.distributed.nn.functional.all_gather is deprecated",  # Lightning's
    "It is recommended to use `self.log.*sync_dist",  # SplitMetrics is reduced by itself
    r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's own, at every start
]
FAILURES = (ValueError, OSError, MisconfigurationException)  # that say what to do
ASKED_FOR = ("callbacks", "tuner", "profilers")  # say something only where a user wants it


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Inside the block, Lightning's notes are not shown, and its errors are ValueErrors.

    What its callbacks say is shown. Afterwards the processes of a run are disconnected, since a
    thread of gloo would abort Python's end; not after a failure, where that waits for the others.
    """
    for part in ("fabric", "pytorch"):
        logging.getLogger(f"lightning.{part}").setLevel(logging.WARNING)
    for part in (*ASKED_FOR, "utilities.rank_zero"):  # the last one is of all of Lightning
        logging.getLogger(f"lightning.pytorch.{part}").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_asked_for)
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    excepthook, threading.excepthook = threading.excepthook, _say_of_thread
    try:
        yield
        _disconnect()
    except Stopped:  # all processes stop after the same update
        _disconnect()
        raise
    except BaseException as error:
        wait_for_nobody_at_exit()
        if isinstance(error, MisconfigurationException):  # what Lightning calls a bad argument
            raise ValueError(str(error)) from error
        raise
    finally:
        threading.excepthook = excepthook


def _asked_for(record: logging.LogRecord) -> bool:
    return Path(record.pathname).parent.name in ASKED_FOR or record.levelno >= logging.WARNING


def _say_of_thread(failure: threading.ExceptHookArgs) -> None:
    """But for an OSError of TensorBoard's writer: the main thread soon fails with the same one."""
    if not isinstance(failure.exc_value, OSError):
        print(f"error: {failure.exc_type.__name__}: {failure.exc_value}", file=sys.stderr)


def _disconnect() -> None:
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()

"""What a checkpoint holds beside Lightning's own entries, and how it reaches the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_makemore.atomic import replacing
from lit_makemore.mlp import MLP, Init
from lit_makemore.vocab import Vocabulary

FORMAT_VERSION = 1
KEY = "lit_makemore"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with all it takes to sample and to score.

    Args:
        net: the network, in evaluation mode.
        vocab: its characters.
        block_size: characters it sees.
        train_hashes: (words,) int64, the sorted hashes of the distinct training words.
        global_step: updates made.
    """

    net: MLP
    vocab: Vocabulary
    block_size: int
    train_hashes: Tensor
    global_step: int


def description(
    chars: str, block_size: int, architecture: dict[str, Any], train_hashes: Tensor, stepping: str
) -> dict[str, Any]:
    """The entry under KEY that makes a checkpoint self-sufficient: primitives and tensors only."""
    return {
        "format_version": FORMAT_VERSION,
        "chars": chars,
        "block_size": block_size,
        "architecture": architecture,
        "train_hashes": train_hashes.unique(),
        "threads": torch.get_num_threads(),
        "stepping": stepping,
    }


def read(path: str | Path) -> dict[str, Any]:
    """The entries of a checkpoint file of this program, on the CPU; runs no code from it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint of this program, or not of this version of it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in as many ways as files can be broken
        raise ValueError(
            f"{path} is not a whole checkpoint ({type(error).__name__}); use another one"
        ) from error
    ours = entries.get(KEY) if isinstance(entries, dict) else None
    if not isinstance(ours, dict) or "format_version" not in ours:
        raise ValueError(f"{path} is not a checkpoint of lit_makemore")
    if ours["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"{path} has checkpoint format {ours['format_version']}, this version reads "
            f"{FORMAT_VERSION}; use the version of lit_makemore that wrote it"
        )
    return entries


def load(path: str | Path) -> Checkpoint:
    """Rebuilds the network of a checkpoint file. Raises as `read` does."""
    entries = read(path)
    ours = entries[KEY]
    vocab = Vocabulary(ours["chars"])
    architecture = {**ours["architecture"], "init": Init(**ours["architecture"]["init"])}
    net = MLP(len(vocab), ours["block_size"], **architecture)
    weights = {
        name.removeprefix("net."): tensor
        for name, tensor in entries["state_dict"].items()
        if name.startswith("net.")
    }
    net.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return Checkpoint(
        net.eval(), vocab, ours["block_size"], ours["train_hashes"], entries["global_step"]
    )


def write(entries: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint so that its name never stands for half a one, whatever happens."""
    with replacing(path) as file:
        torch.save(entries, file)

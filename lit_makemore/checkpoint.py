"""What a checkpoint holds beside Lightning's own entries, and how it reaches the disk."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.atomic import replacing
from lit_makemore.counts.mixture import Mixture, kneser_ney
from lit_makemore.network.mlp import MLP, Init
from lit_makemore.words.vocab import Vocabulary

FORMAT_VERSION = 1
KEY = "lit_makemore"
LIGHTNINGS = {"state_dict": dict, "global_step": int}
OURS = {
    **{"chars": str, "block_size": int, "architecture": dict, "train_hashes": Tensor},
    **{"threads": int, "stepping": str},
}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with all it takes to sample and to score.

    Args:
        net: the network, in evaluation mode.
        predictor: what its losses are reported of: the network, or its mixture with counts.
        vocab: its characters.
        block_size: characters it sees.
        train_hashes: (words,) int64, the sorted hashes of the distinct training words.
        global_step: updates made.
    """

    net: MLP
    predictor: nn.Module
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
        with zipfile.ZipFile(path) as parts:
            if broken := parts.testzip():  # which torch.load does not look at
                raise zipfile.BadZipFile(broken)
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
    for where, needed in ((entries, LIGHTNINGS), (ours, OURS)):
        for name, kind in needed.items():
            if not isinstance(where.get(name), kind):
                raise ValueError(f"{path} is not a whole checkpoint (no {name}); use another one")
    return entries


def load(path: str | Path) -> Checkpoint:
    """Rebuilds the network of a checkpoint file. Raises as `read` does."""
    entries = read(path)
    try:
        return _rebuilt(entries, entries[KEY])
    except Exception as error:  # entries that somebody has changed
        raise ValueError(
            f"{path} holds no network that can be rebuilt ({type(error).__name__}); use another one"
        ) from error


def _rebuilt(entries: dict[str, Any], ours: dict[str, Any]) -> Checkpoint:
    vocab = Vocabulary(ours["chars"])
    architecture = {**ours["architecture"], "init": Init(**ours["architecture"]["init"])}
    with torch.random.fork_rng([]):  # its first parameters must not move a run's random state
        net = MLP(len(vocab), ours["block_size"], **architecture)
    weights = {
        name.removeprefix("net."): tensor
        for name, tensor in entries["state_dict"].items()
        if name.startswith("net.")
    }
    net.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return Checkpoint(
        net.eval(),
        mixed(net, ours, len(vocab)),
        vocab,
        ours["block_size"],
        ours["train_hashes"],
        entries["global_step"],
    )


def mixed(net: MLP, ours: dict[str, Any], vocab_size: int) -> nn.Module:
    """The network, or its mixture with the counts if a checkpoint's entry under KEY has some."""
    found = ours.get("mixture")
    if found is None:
        return net
    return Mixture(net, kneser_ney(found["rows"], found["counts"], vocab_size), found["weight"])


def write(entries: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint so that its name never stands for half a one, whatever happens."""
    with replacing(path) as file:
        torch.save(entries, file)

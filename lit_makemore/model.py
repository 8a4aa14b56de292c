"""NameModel: a vocabulary and what predicts its next character; and the checkpoint it is kept in.

That is Lightning's with one more entry. It is enough to sample, score and resume, and runs no code.
"""

import zipfile
from collections.abc import Iterable
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.files import replacing
from lit_makemore.network.fold import fold
from lit_makemore.network.mlp import MLP, Init, evaluating
from lit_makemore.sampling.conditioned import sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import generate, ranked, seeded
from lit_makemore.sampling.sampler import USUAL, Decoding
from lit_makemore.sampling.scoring import score
from lit_makemore.words.vocab import Vocabulary, difference

KEY = "lit_makemore"  # the entry of a checkpoint that describes the model
FORMAT = 3  # of version 1.0.0
PREFIX = "model."  # where LitMLP has its NameModel
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)  # of a network
KINDS = {"chars": str, "block_size": int, "architecture": dict, "threads": int, "engine": str}
OTHERS = ("vocab_size", "block_size", "generator")
ARCHITECTURE = [name for name in signature(MLP).parameters if name not in OTHERS]


class NameModel(nn.Module):
    """Windows (B, block_size) to the logits (B, vocab_size) of the next character.

    `architecture` has the arguments of MLP. A `mixture` predicts from the logits of `net` and the
    windows. `train_hashes` are those of the distinct training words, sorted; `list_hashes` those of
    all words of the list, from which no parameter learns.
    """

    def __init__(self, vocab: Vocabulary, block_size: int, architecture: dict[str, Any]) -> None:
        super().__init__()
        init = architecture["init"]
        arguments = {**architecture, "init": Init(**init) if isinstance(init, dict) else init}
        self.vocab, self.block_size, self.architecture = vocab, block_size, architecture
        self.net = MLP(len(vocab), block_size, **arguments)
        self.mixture: Mixture | None = None
        self.train_hashes = self.list_hashes = torch.empty(0, dtype=torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        return logits if self.mixture is None else self.mixture(logits, x)

    def generate(
        self,
        num: int,
        seed: int | None = None,
        *,
        temperature: float = USUAL.temperature,
        top_k: int | None = None,
        top_p: float = USUAL.top_p,
        prefix: str = "",
        suffix: str = "",
        pattern: str = "",
        min_length: int = 1,
        max_length: int | None = None,
        unique: bool = False,
        only_new: bool = False,
        not_near: bool = False,
        exclude: Iterable[str] = (),
        best: int | None = None,
    ) -> list[str]:
        """Draws names as the command `sample` does; `exclude` has words and parts, not a file."""
        with evaluating(self):
            decoding = Decoding(temperature, top_k, top_p)
            condition = Condition(prefix, suffix, pattern, min_length, max_length)
            source = sampler(self, self.vocab, self.block_size, decoding, condition)
            hashes, wanted = self.list_hashes, (unique, only_new, not_near, exclude)
            draws = generate(source, num, seeded(seed), hashes, *wanted)
            return [name for draw in ranked(draws, best) for name in draw.names]

    def score(self, words: Iterable[str]) -> list[float | None]:
        """The log-probability of each word in nats; None if the vocabulary cannot spell it."""
        one, words, spells = isinstance(words, str), list(words), self.vocab.spells
        if one or not all(isinstance(word, str) for word in words):
            raise ValueError("score takes a list of words: score([word]) for one")
        with evaluating(self):
            found = score(self, self.vocab, self.block_size, filter(spells, words))
        each = iter(found.tolist())
        return [next(each) if spells(word) else None for word in words]

    def folded(self) -> "NameModel":
        """The same in float32 with Batch Normalization folded away, as an export holds it."""
        norm = self.architecture.get("norm", "batch")  # another one stays
        folded = {"norm": "none" if norm == "batch" else norm, "logits_batch_norm": False}
        model = _blank(self.vocab, self.block_size, self.architecture | folded)
        model.net, model.mixture = fold(self.net).float(), self.mixture
        model.set_extra_state(self.get_extra_state())
        return model.eval()

    def get_extra_state(self) -> Tensor:
        """Each word's hash, and whether it is a training word (words, 2): on the CPU, no buffer."""
        is_trained = torch.isin(self.list_hashes, self.train_hashes)
        return torch.stack([self.list_hashes, is_trained.long()], 1)

    def set_extra_state(self, state: Tensor) -> None:
        hashes, is_trained = state.cpu().T
        self.list_hashes, self.train_hashes = hashes.clone(), hashes[is_trained == 1]

    def described(self, engine: str) -> dict[str, Any]:
        """The entry of a checkpoint under KEY; `engine` is what stepped the run."""
        return {
            "format": FORMAT,
            "chars": self.vocab.chars,
            "block_size": self.block_size,
            "architecture": self.architecture,
            "mixture": self.mixture is not None,
            "threads": torch.get_num_threads(),
            "engine": engine,
        }

    def check(self, entry: dict[str, Any]) -> None:
        """Raises ValueError if a checkpoint's entry describes another network, but for its init."""
        if apart := difference(entry["chars"], self.vocab.chars):
            apart += "; use the list it was trained on"
            raise ValueError(f"the checkpoint has another vocabulary than the word list: {apart}")
        ours = {"block_size": self.block_size, **self.architecture}
        for name, value in {"block_size": entry["block_size"], **entry["architecture"]}.items():
            if name != "init" and value != ours[name]:
                told = f"{value}, the config's {ours[name]}; use the config.yaml beside checkpoints"
                raise ValueError(f"the checkpoint's network has {name} {told}")

    def take_parts_of(self, entry: dict[str, Any]) -> None:
        """Makes the parts beside the network that a checkpoint has, for its state_dict to fill."""
        self.mixture, none = None, torch.empty(0, dtype=torch.int64)
        if entry["mixture"]:
            self.mixture = Mixture(KneserNey(none[:, None], none, none, len(self.vocab)))


def _blank(vocab: Vocabulary, block_size: int, architecture: dict[str, Any]) -> NameModel:
    """A model to be filled; a run's random state stays as it is."""
    with torch.random.fork_rng([]):
        return NameModel(vocab, block_size, architecture)


def _weights(vocab: Vocabulary, block_size: int, architecture: dict[str, Any]) -> int:
    """How many weights an MLP has, without its biases and norms."""
    (sizes := signature(MLP).bind(len(vocab), block_size, **architecture)).apply_defaults()
    embd, hidden, layers = (sizes.arguments[name] for name in ("n_embd", "n_hidden", "n_layer"))
    return (len(vocab) + hidden * block_size) * embd + (len(vocab) + (layers - 1) * hidden) * hidden


def read(path: str | Path) -> dict[str, Any]:
    """The entries of a checkpoint file, on the CPU; ValueError if it is none of this version."""
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with zipfile.ZipFile(path) as parts:
            larger = sum(part.file_size for part in parts.infolist()) > path.stat().st_size
            if larger or parts.testzip():  # torch.load checks neither
                raise zipfile.BadZipFile
        entries = torch.load(path, map_location="cpu", weights_only=True)
        tensors = (one for one in tree_leaves(entries) if isinstance(one, Tensor))
        if any(one.nbytes > one.untyped_storage().nbytes() for one in tensors):
            raise ValueError  # it shows few numbers as many
    except Exception as error:  # torch.load fails in as many ways as files can be broken
        told = f"is incomplete or damaged ({type(error).__name__}); use another checkpoint"
        raise ValueError(f"{path} {told}") from error
    ours = entries.get(KEY) if isinstance(entries, dict) else None
    if not isinstance(ours, dict):
        raise ValueError(f"{path} is not a checkpoint of lit_makemore")
    if ours.get("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of lit_makemore; train it again")
    if not all(isinstance(ours.get(name), kind) for name, kind in KINDS.items()):
        raise ValueError(f"{path} describes no network of lit_makemore; use another checkpoint")
    return entries


def load(path: str | Path) -> NameModel:
    """The model of a checkpoint file, in evaluation mode; ValueError if it holds none."""
    entries = read(path)
    try:
        ours = entries[KEY]
        given = entries["state_dict"].items()
        state = {k.removeprefix(PREFIX): value for k, value in given if k.startswith(PREFIX)}
        arguments = Vocabulary(ours["chars"]), ours["block_size"], ours["architecture"]
        dtype = state["net.embedding.weight"].dtype
        held = sum(value.numel() for name, value in state.items() if name.startswith("net."))
        if dtype not in DTYPES or _weights(*arguments) > held:
            raise ValueError  # it says sizes that it does not hold
        model = _blank(*arguments)
        model.take_parts_of(ours)
        model.to(dtype).load_state_dict(state)
    except Exception as error:  # somebody changed the entries
        told = f"no network that can be rebuilt ({type(error).__name__}); use another checkpoint"
        raise ValueError(f"{path} holds {told}") from error
    if not all(tensor.isfinite().all() for tensor in model.net.state_dict().values()):
        raise ValueError(f"{path}: some parameters are not finite; use an earlier checkpoint")
    return model.eval()


def write(entries: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint whole or not at all."""
    content = BytesIO()  # where the disk is full, torch would not say so
    torch.save(entries, content)
    with replacing(path) as file:
        file.write(content.getbuffer())

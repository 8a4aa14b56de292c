"""What a checkpoint holds beside Lightning's own entries; reading and writing it.

A checkpoint is enough to sample, score and resume. It holds primitives and tensors only, so that
`torch.load(..., weights_only=True)` reads it and no code in it can run.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import DISCOUNT, KneserNey
from lit_makemore.files import replacing
from lit_makemore.network.fold import fold
from lit_makemore.network.mlp import MLP, Init
from lit_makemore.sampling.conditioned import ConditionedSampler, sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import Wanted, generate, seeded
from lit_makemore.sampling.sampler import Decoding, Sampler
from lit_makemore.sampling.scoring import scores
from lit_makemore.words.vocab import Vocabulary, difference

# Format 1 had no "." in `chars`: it was the end mark. Format 3 may have known words, which an
# earlier version would overlook. Otherwise the formats are the same.
FORMAT_VERSION = 3
READABLE = (1, 2, 3)
KEY = "lit_makemore"  # the entry of this program
LIGHTNING_ENTRIES = {"state_dict": dict, "global_step": int}
OUR_ENTRIES = {
    "chars": str,
    "block_size": int,
    "architecture": dict,
    "train_hashes": Tensor,
    "threads": int,
    "stepping": str,
}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with all that is needed to sample and to score.

    Args:
        net: the network, in evaluation mode.
        predictor: what its losses are reported of: the network, or its mixture with counts.
        vocab: its characters.
        block_size: how many characters it sees.
        train_hashes: (words,) int64, the sorted hashes of the distinct training words.
        global_step: updates made.
        architecture: the arguments of MLP, without its initial parameters.
    """

    net: MLP
    predictor: nn.Module
    vocab: Vocabulary
    block_size: int
    train_hashes: Tensor
    global_step: int
    architecture: dict[str, Any]

    @property
    def known_words(self) -> KnownWords | None:
        """The factors of training words in the mixture; None without."""
        return self.predictor.known if isinstance(self.predictor, Mixture) else None

    @property
    def mixture(self) -> tuple[KneserNey, float] | None:
        """The counts that the network is mixed with and its weight; None without."""
        if not isinstance(self.predictor, Mixture):
            return None
        assert isinstance(self.predictor.counts, KneserNey)
        return self.predictor.counts, self.predictor.weight

    def folded(self) -> "Checkpoint":
        """The same in float32 with Batch Normalization folded away, as an export holds it."""
        net = fold(self.net).float()
        predictor: nn.Module = net
        if self.mixture is not None:
            predictor = Mixture(net, *self.mixture, self.known_words)
        no_norm = {"batch_norm": False, "logits_batch_norm": False}
        return replace(self, net=net, predictor=predictor, architecture=self.architecture | no_norm)

    def sampler(
        self, decoding: Decoding = Decoding(), condition: Condition = Condition()
    ) -> Sampler | ConditionedSampler:
        """What draws names from the predictor; raises as network.conditioned.sampler does."""
        return sampler(self.predictor, self.vocab, self.block_size, decoding, condition)

    def generate(
        self,
        n: int,
        seed: int | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prefix: str = "",
        suffix: str = "",
        pattern: str = "",
        min_length: int = 0,
        max_length: int | None = None,
        unique: bool = False,
        only_new: bool = False,
        not_near: bool = False,
    ) -> list[str]:
        """Draws n names, the same ones as the command `sample` with the same options.

        Raises:
            ValueError: an option is out of range, or no such names are found; the line says what
                to do.
        """
        source = self.sampler(
            Decoding(temperature, top_k, top_p),
            Condition(prefix, suffix, pattern, min_length, max_length),
        )
        wanted = Wanted(unique, only_new, not_near)
        draws = generate(source, n, seeded(seed), self.train_hashes, wanted)
        return [name for draw in draws for name in draw.names]

    def score(self, words: Iterable[str]) -> list[float | None]:
        """The log-probability of each word in nats; None if the vocabulary cannot spell it."""
        return scores(self.predictor, self.vocab, self.block_size, words)


def describe(
    chars: str,
    block_size: int,
    architecture: dict[str, Any],
    train_hashes: Tensor,
    engine: str,
    predictor: nn.Module | None,
) -> dict[str, Any]:
    """The entry under KEY.

    Args:
        chars: the characters of the vocabulary.
        block_size: T.
        architecture: the arguments of MLP.
        train_hashes: (words,) int64, the sorted hashes of the distinct training words.
        engine: what stepped the run.
        predictor: what is evaluated. Of a mixture, what the network is mixed with is described.
    """
    entry = {
        "format_version": FORMAT_VERSION,
        "chars": chars,
        "block_size": block_size,
        "architecture": architecture,
        "train_hashes": train_hashes,
        "threads": torch.get_num_threads(),
        "stepping": engine,
    }
    if isinstance(predictor, Mixture):
        counts: Any = predictor.counts
        rows, numbers = counts.rows()
        entry["mixture"] = {
            "weight": predictor.weight,
            "rows": rows,
            "counts": numbers,
            "discount": counts.discount,
        }
        if (known := predictor.known) is not None:
            entry["known_words"] = {
                "rows": known.rows,
                "q": known.q,
                "mass": known.mass,
                "share": known.share,
            }
    return entry


def stored_mixture(entry: dict[str, Any]) -> tuple[KneserNey, float, KnownWords | None] | None:
    """What the network of an entry under KEY is mixed with: the count model, the weight of the
    network, and the factors of training words; None without."""
    found = entry.get("mixture")
    if found is None:
        return None
    vocab_size = len(Vocabulary(entry["chars"]))
    discount = found.get("discount", DISCOUNT)  # which earlier versions always had
    counts = KneserNey.from_rows(found["rows"], found["counts"], vocab_size, discount)
    known = entry.get("known_words")
    return counts, found["weight"], KnownWords(vocab_size=vocab_size, **known) if known else None


def check_network(
    entry: dict[str, Any], chars: str, block_size: int, architecture: dict[str, Any]
) -> None:
    """Checks that a network is the one of an entry under KEY; how it started does not matter.

    Raises:
        ValueError: it has another vocabulary or architecture; the line says what to do.
    """
    if apart := difference(entry["chars"], chars):
        raise ValueError(
            f"the checkpoint has another vocabulary than the word list: {apart}; "
            "use the list it was trained on"
        )
    ours = {"block_size": block_size, **architecture}
    for name, value in {"block_size": entry["block_size"], **entry["architecture"]}.items():
        if name != "init" and value != ours[name]:
            raise ValueError(
                f"the checkpoint's network has {name} {value}, the config's {ours[name]}; "
                "use the config.yaml beside the checkpoints folder"
            )


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
            if broken := parts.testzip():  # torch.load does not check the parts
                raise zipfile.BadZipFile(broken)
        entries = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in as many ways as files can be broken
        raise ValueError(
            f"{path} is incomplete or damaged ({type(error).__name__}); use another checkpoint"
        ) from error
    ours = entries.get(KEY) if isinstance(entries, dict) else None
    if not isinstance(ours, dict) or "format_version" not in ours:
        raise ValueError(f"{path} is not a checkpoint of lit_makemore")
    if ours["format_version"] not in READABLE:
        raise ValueError(
            f"{path} has checkpoint format {ours['format_version']}, this version reads "
            f"{' and '.join(map(str, READABLE))}; use the version of lit_makemore that wrote it"
        )
    for where, needed in ((entries, LIGHTNING_ENTRIES), (ours, OUR_ENTRIES)):
        for name, kind in needed.items():
            if not isinstance(where.get(name), kind):
                raise ValueError(
                    f"{path} is incomplete or damaged (no {name}); use another checkpoint"
                )
    return entries


def load(path: str | Path) -> Checkpoint:
    """Rebuilds the network of a checkpoint file. Raises as `read` does."""
    entries = read(path)
    try:
        return _rebuilt(entries, entries[KEY])
    except Exception as error:  # somebody changed the entries
        raise ValueError(
            f"{path} holds no network that can be rebuilt ({type(error).__name__}); "
            "use another checkpoint"
        ) from error


def _rebuilt(entries: dict[str, Any], ours: dict[str, Any]) -> Checkpoint:
    vocab = Vocabulary(ours["chars"])
    architecture = {**ours["architecture"], "init": Init(**ours["architecture"]["init"])}
    with torch.random.fork_rng([]):  # its first parameters must not change a run's random state
        net = MLP(len(vocab), ours["block_size"], **architecture)
    weights = {
        name.removeprefix("net."): tensor
        for name, tensor in entries["state_dict"].items()
        if name.startswith("net.")
    }
    net.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    net.eval()
    mixture = stored_mixture(ours)
    return Checkpoint(
        net,
        net if mixture is None else Mixture(net, *mixture),
        vocab,
        ours["block_size"],
        ours["train_hashes"],
        entries["global_step"],
        {name: value for name, value in architecture.items() if name != "init"},
    )


def write(entries: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint so that its name never stands for a part of one, whatever happens."""
    with replacing(path) as file:
        torch.save(entries, file)

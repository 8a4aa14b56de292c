"""The train, val and test words. Shapes: N examples of a split, D distinct ones."""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lit_makemore.words.corpus import Corpus, word_hash, word_hashes
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import Windows, distinct, encode, select_words, word_lengths


@dataclass(frozen=True)
class Split:
    windows: Windows  # the N examples
    hashes: Tensor  # (words,) int64, one hash per word
    novel: Tensor  # (N,) bool, True where the example's word is not a training word
    vocab_size: int
    longest: int  # characters of the longest word

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct windows (D, T), next tokens (D,), counts (D, 2) in all and in novel words."""
        weights = torch.stack([torch.ones_like(self.novel), self.novel], 1)
        return distinct(self.windows, self.vocab_size, weights)


def split_words(n: int, splits: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Shuffles the numbers 0 … n - 1 and cuts them into one int32 tensor per split.

    The order is that of random.seed(seed); random.shuffle(words), as in the lecture; a cut is at
    int(n · sum of the shares before it).
    """
    if len(splits) != 3 or not splits[0] or min(splits) < 0 or abs(sum(splits) - 1) > 1e-9:
        like = "must be three shares that sum to 1, as [0.8, 0.1, 0.1] or [1, 0, 0] do"
        raise ValueError(f"the splits {list(splits)} {like}")
    order = array("i", range(n))  # is shuffled as a list is, in a tenth of the memory
    random.Random(seed).shuffle(order)
    cuts = [int(n * round(sum(splits[:i]), 9)) for i in range(1, len(splits))]
    parts = torch.frombuffer(order, dtype=torch.int32).tensor_split(cuts)
    if any(share and not len(part) for share, part in zip(splits, parts, strict=True)):
        told = "leave one split empty; use a longer list or other shares"
        raise ValueError(f"{n} words split by {list(splits)} {told}")
    return parts


def build_splits(
    corpus: Corpus,
    vocab: Vocabulary,
    numbers: Sequence[Tensor],
    block_size: int,
    device: torch.device | str = "cpu",
) -> dict[str, Split]:
    """The splits train, val and test of a list whose words `split_words` has numbered."""
    stream, hashes = encode(corpus.text, vocab), word_hashes(corpus.words())
    splits, train = {}, hashes[numbers[0]]
    for name, own_numbers in zip(("train", "val", "test"), numbers, strict=True):
        part, own = select_words(stream, own_numbers), hashes[own_numbers]
        lengths = word_lengths(part)
        novel = (~torch.isin(own, train)).repeat_interleave(lengths)
        windows = Windows(part.to(device), block_size)
        splits[name] = Split(windows, own, novel, len(vocab), max(lengths.tolist(), default=1) - 1)
    return splits


def known_words(splits: dict[str, Split], name: str) -> int:
    """How many words of a split are also training words."""
    return int(torch.isin(splits[name].hashes, splits["train"].hashes).sum())


def repeated_words(splits: dict[str, Split]) -> int:
    """How many words of the list occur earlier in it."""
    hashes = torch.cat([split.hashes for split in splits.values()])
    return len(hashes) - len(hashes.unique())


def whereabouts(splits: dict[str, Split], word: str) -> str:
    """Where a word is found: "train", "held out" (in val or test) or "new"."""
    found = [name for name, split in splits.items() if (split.hashes == word_hash(word)).any()]
    return "train" if "train" in found else "held out" if found else "new"

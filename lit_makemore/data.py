"""The data module: file → words → splits → loaders."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.baselines import fit, loss
from lit_makemore.corpus import (
    NAMES_PATH,
    NAMES_URL,
    fetch,
    read_corpus,
    read_words,
    word_hash,
    word_hashes,
)
from lit_makemore.loaders import EvaluationLoader, MinibatchLoader, Sampling, WordLoader
from lit_makemore.stepping import group_size
from lit_makemore.targets import Expected
from lit_makemore.vocab import Vocabulary
from lit_makemore.windows import Windows, distinct, encode, select_words, split_words, word_lengths

Figures = dict[str, float | None]  # losses: train, val, test, val_novel, test_novel


@dataclass(frozen=True)
class Split:
    """One share of the words.

    Args:
        windows: its N examples.
        hashes: (words,) int64, a hash per word.
        novel: (N,) bool, whether the example's word is not among the training words.
        vocab_size: V.
    """

    windows: Windows
    hashes: Tensor
    novel: Tensor
    vocab_size: int

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct windows (D, T), next tokens (D,), counts (D, 2): in all, in novel words."""
        weights = torch.stack(
            [torch.ones(1, dtype=torch.bool).expand_as(self.novel), self.novel], 1
        )
        return distinct(self.windows, self.vocab_size, weights)


class NamesDataModule(pl.LightningDataModule):
    """Splits a word list and serves context windows of it.

    The constructor reads the file, because the model's vocabulary comes from it.

    Args:
        path: UTF-8 file, one word a line. The default, makemore's names.txt, is fetched once.
        block_size: how many characters the network sees.
        batch_size: examples per update, over all processes together.
        sampling: draw minibatches with replacement, or pass through shuffled examples.
        targets: sampled trains on the next character of each example drawn; expected on the
            distribution of what follows its window anywhere in the training words.
        seed: of the order of the minibatches.
        splits: shares of the words for training, validation and test.
        split_seed: of the shuffle before the split.
        lowercase: make every word lower-case.
        strip: take white space off both ends of a word.
        predict_path: the words that `predict` scores, one a line.
        url: where names.txt is fetched from; its checksum is verified.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError: names.txt cannot be fetched.
        ValueError: the list cannot be read or split; says what to do.
    """

    def __init__(
        self,
        path: str = NAMES_PATH,
        block_size: int = 3,
        batch_size: int = 32,
        sampling: Sampling = "replacement",
        targets: Literal["sampled", "expected"] = "sampled",
        seed: int = 42,
        splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
        split_seed: int = 42,
        lowercase: bool = False,
        strip: bool = True,
        predict_path: str | None = None,
        url: str = NAMES_URL,
    ) -> None:
        super().__init__()
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, not {block_size}")
        self.path, self.url, self.predict_path = path, url, predict_path
        self.lowercase, self.strip = lowercase, strip
        self.prepare_data()
        self.corpus = read_corpus(path, lowercase, strip)
        self.vocab = Vocabulary(self.corpus.chars)
        self.chars, self.block_size = self.vocab.chars, block_size
        self.batch_size, self.sampling, self.targets = batch_size, sampling, targets
        self.generator = torch.Generator().manual_seed(seed)
        self.numbers = split_words(self.corpus.n_words, splits, split_seed)
        self.splits: dict[str, Split] = {}

    def prepare_data(self) -> None:
        """Fetches names.txt if it is the list in use and is not there."""
        if self.path == NAMES_PATH:
            fetch(self.path, self.url)

    def setup(self, stage: str | None = None) -> None:
        """Builds the splits on the trainer's device and, before a fit, the training loader."""
        if not self.splits:
            self._build_splits()
        if stage in (None, "fit"):
            windows = self.splits["train"].windows
            self._train_loader = MinibatchLoader(
                windows if self.targets == "sampled" else Expected(windows, len(self.vocab)),
                self.batch_size,
                self.generator,
                self.sampling,
                *self._process(),
                repeat=bool(self.trainer and self.trainer.overfit_batches),  # type: ignore[attr-defined]
            )

    def _build_splits(self) -> None:
        stream, hashes = encode(self.corpus.text, self.vocab), word_hashes(self.corpus.words())
        self.corpus = replace(self.corpus, text="")  # a byte a character that is not needed again
        known = hashes[self.numbers[0]].sort().values
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        for name, numbers in zip(("train", "val", "test"), self.numbers, strict=True):
            part, own = select_words(stream, numbers), hashes[numbers]
            if name == "train":
                novel = torch.zeros(1, dtype=torch.bool).expand(len(part))
            else:
                nearest = torch.searchsorted(known, own).clamp(max=len(known) - 1)
                novel = (known[nearest] != own).repeat_interleave(word_lengths(part))
            windows = Windows(part, self.block_size).to(device)
            self.splits[name] = Split(windows, own, novel, len(self.vocab))

    @cached_property
    def baselines(self) -> dict[str, Figures]:
        """What counting achieves, by the name of the baseline."""
        vocab_size = len(self.vocab)
        x, y, counts = self.splits["train"].examples
        found = fit(x, y, counts[:, 0], vocab_size)
        figures: dict[str, Figures] = {name: {} for name in found}
        for split, part in self.splits.items():
            x, y, counts = part.examples
            for name, baseline in found.items():
                figures[name][split] = loss(baseline, x, y, counts[:, 0])
                figures[name][f"{split}_novel"] = loss(baseline, x, y, counts[:, 1])
        return {name: without_nan(row) for name, row in figures.items()}

    def whereabouts(self, word: str) -> str:
        """Where a word is found: "train", "held out" (in val or test) or "new"."""
        value = word_hash(word)
        if bool((self.splits["train"].hashes == value).any()):
            return "train"
        held_out = torch.cat([self.splits["val"].hashes, self.splits["test"].hashes])
        return "held out" if bool((held_out == value).any()) else "new"

    def train_dataloader(self) -> MinibatchLoader:
        trainer: Any = self.trainer
        if trainer and not trainer.lightning_module.automatic_optimization:
            self._train_loader.group = partial(group_size, trainer)
        return self._train_loader

    def val_dataloader(self) -> EvaluationLoader:
        return self.evaluation_loader("val", *self._process())

    def test_dataloader(self) -> EvaluationLoader:
        return self.evaluation_loader("test", *self._process())

    def predict_dataloader(self) -> WordLoader:
        if self.predict_path is None:
            raise ValueError("predict scores the words of a file; name it with --data.predict_path")
        words = read_words(self.predict_path, self.lowercase, self.strip)
        rank, world_size = self._process()
        return WordLoader(words, rank=rank, world_size=world_size)

    def evaluation_loader(self, name: str, rank: int = 0, world_size: int = 1) -> EvaluationLoader:
        """The distinct examples of a split; by default all of them on one process."""
        split = self.splits[name]
        device = split.windows.device
        return EvaluationLoader(split.examples, device, rank=rank, world_size=world_size)

    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def without_nan(figures: Figures) -> Figures:
    """The train words are never novel; elsewhere, NaN is no JSON."""
    return {k: v if v == v else None for k, v in figures.items() if k != "train_novel"}

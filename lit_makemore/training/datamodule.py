"""The data module: file → words → splits → loaders."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from lit_makemore import checkpoint
from lit_makemore.counts.ngrams import Baseline, fit, loss
from lit_makemore.counts.targets import Expected, Given, Taught
from lit_makemore.training.engines.groups import group_size
from lit_makemore.training.loaders import EvaluationLoader, MinibatchLoader, Sampling, WordLoader
from lit_makemore.words.corpus import (
    NAMES_PATH,
    NAMES_URL,
    fetch,
    read_corpus,
    read_words,
    word_hash,
    word_hashes,
)
from lit_makemore.words.vocab import Vocabulary, difference
from lit_makemore.words.windows import (
    Windows,
    distinct,
    encode,
    select_words,
    split_words,
    word_lengths,
)

Targets = Literal["sampled", "expected", "kneser_ney", "teacher"]
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
            distribution of what follows its window anywhere in the training words; kneser_ney on
            the distribution that the count model gives for it; teacher on the mean distribution
            of trained networks, with the count model's mixed in.
        teachers: checkpoints, and configurations that are trained first, to checkpoints.
        counts_share: the count model's share of the targets that teachers give.
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
        targets: Targets = "sampled",
        teachers: tuple[str, ...] = (),
        counts_share: float = 0.3,
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
        if (targets == "teacher") != bool(teachers):
            raise ValueError("--data.targets teacher and --data.teachers go together")
        if not 0 <= counts_share <= 1:
            raise ValueError(f"counts_share is a share in [0, 1], not {counts_share}")
        self.teachers, self.counts_share = list(teachers), counts_share
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
            for teacher in self.teachers:
                if not Path(teacher).is_file():
                    raise FileNotFoundError(f"no teacher at {teacher}")
                if not is_configuration(teacher):
                    self._teacher(teacher)
            self._train_loader = MinibatchLoader(
                self.splits["train"].windows,
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
    def ngrams(self) -> tuple[Tensor, Tensor]:
        """What the count model counts: windows with their next tokens (D, T + 1), and counts (D,).

        Of the training words alone, in small types: a checkpoint may hold them.
        """
        x, y, counts = self.splits["train"].examples
        small = torch.uint8 if len(self.vocab) <= 256 else torch.int16
        return torch.cat([x, y[:, None]], 1).to(small), counts[:, 0].int()

    @cached_property
    def _fitted(self) -> dict[str, Baseline]:
        x, y, counts = self.splits["train"].examples
        return fit(x, y, counts[:, 0], len(self.vocab))

    @property
    def count_model(self) -> Baseline:
        """Kneser–Ney of the training words."""
        return self._fitted["kneser_ney"]

    def _examples(self) -> Windows | Expected | Given:
        """The training examples with their targets."""
        windows, vocab_size = self.splits["train"].windows, len(self.vocab)
        if self.targets == "sampled":
            return windows
        if self.targets == "expected":
            return Expected(windows, vocab_size)
        untrained = any(map(is_configuration, self.teachers))  # a fast_dev_run trains none
        if untrained and not (self.trainer and self.trainer.fast_dev_run):  # type: ignore[attr-defined]
            raise ValueError("a teacher's configuration must be trained first, as `fit` does")
        if self.targets == "kneser_ney" or untrained:
            return Given(windows, vocab_size, self.count_model.probabilities)
        teachers = [self._teacher(path) for path in self.teachers]
        return Given(windows, vocab_size, Taught(teachers, self.count_model, self.counts_share))

    def _teacher(self, path: str) -> nn.Module:
        """A trained network, if it has learnt nothing that this run must not know."""
        model = checkpoint.load(path)
        if model.block_size != self.block_size:
            raise ValueError(
                f"the teacher {path} sees {model.block_size} characters; "
                f"--data.block_size {model.block_size} goes with it, not {self.block_size}"
            )
        if apart := difference(model.vocab.chars, self.vocab.chars):
            raise ValueError(f"the teacher {path} spells with other characters: {apart}")
        if not torch.equal(model.train_hashes, self.splits["train"].hashes.unique()):
            raise ValueError(
                f"the teacher {path} was trained on other words, perhaps on some that are held out "
                "here; use the same list, --data.splits and --data.split_seed"
            )
        return model.net

    @cached_property
    def baselines(self) -> dict[str, Figures]:
        """What counting achieves, by the name of the baseline."""
        figures: dict[str, Figures] = {name: {} for name in self._fitted}
        for split, part in self.splits.items():
            x, y, counts = part.examples
            for name, baseline in self._fitted.items():
                figures[name][split] = loss(baseline, x, y, counts[:, 0])
                figures[name][f"{split}_novel"] = loss(baseline, x, y, counts[:, 1])
        return {name: without_nan(row) for name, row in figures.items()}

    def known_words(self, split: str) -> int:
        """How many words of a split are among the training words, too."""
        return int(torch.isin(self.splits[split].hashes, self.splits["train"].hashes).sum())

    def whereabouts(self, word: str) -> str:
        """Where a word is found: "train", "held out" (in val or test) or "new"."""
        value = word_hash(word)
        if bool((self.splits["train"].hashes == value).any()):
            return "train"
        held_out = torch.cat([self.splits["val"].hashes, self.splits["test"].hashes])
        return "held out" if bool((held_out == value).any()) else "new"

    def train_dataloader(self) -> MinibatchLoader:
        trainer: Any = self.trainer
        self._train_loader.examples = self._examples()  # by now the teachers are there
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


def is_configuration(teacher: str) -> bool:
    """Whether an entry of data.teachers is a configuration, not a checkpoint."""
    return Path(teacher).suffix in (".yaml", ".yml")


def without_nan(figures: Figures) -> Figures:
    """The train words are never novel; elsewhere, NaN is no JSON."""
    return {k: v if v == v else None for k, v in figures.items() if k != "train_novel"}

"""The data module: file → words → splits → loaders."""

import logging
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore import files, model
from lit_makemore.counts.baselines import Examples, Figures, choose_counts, losses_of, simple_models
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.counts.targets import Expected, Given, Taught, Teacher
from lit_makemore.training import loaders
from lit_makemore.training.option_conflicts import check_types, refuse
from lit_makemore.words import corpus
from lit_makemore.words.corpus import NAMES_PATH, NAMES_URL
from lit_makemore.words.reader import Reading
from lit_makemore.words.splits import Split, build_splits, known_words, repeated_words, split_words
from lit_makemore.words.vocab import Vocabulary, difference
from lit_makemore.words.windows import Windows, select_words

log = logging.getLogger(__name__)

Targets = Literal["sampled", "expected", "kneser_ney", "teacher"]


class NamesDataModule(pl.LightningDataModule):
    """Splits a word list and serves context windows of it.

    The constructor reads the file, because the vocabulary of the model comes from it.

    Args:
        path: file with one word a line, or a pipe; - is the standard input. The default,
            makemore's names.txt, is downloaded once.
        column: of a table (CSV), the column of the words: its name in the first line, or its
            number, from 1, if the first line has no names. Of JSON lines, the key.
        count: the column of a table that says how often a word occurs; rows of one word are added
            up. A word is learnt from 1 + log2(count / smallest count) times, rounded, at most 16;
            from a count of 0 never. All losses are of each word once.
        encoding: of path and predict_path, as cp1252; by default UTF-8, or UTF-16 with its mark.
        block_size: how many characters the network sees.
        batch_size: examples of one update, over all processes together.
        sampling: replacement draws the examples of each minibatch; shuffled goes through all
            examples in a new order in each pass.
        targets: what it trains on: sampled, the next character; expected, the distribution of all
            characters that follow a window in the training words; kneser_ney, that of the count
            model; teacher, the mean distribution of trained networks, mixed with that.
        teachers: checkpoints of trained networks, for --data.targets teacher. `fit` also takes
            configurations: it trains them first. A teacher may see more characters, or fewer.
        counts_share: the share of the count model in the targets of teachers.
        seed: seed of the order of the minibatches.
        splits: shares of the words for training, validation and test; the last two may be 0.
        split_seed: seed of the shuffle before the split.
        lowercase: make every word lower-case.
        strip: remove white space at both ends of a word, and commas after it.
        predict_path: the words that `predict` scores, one a line.
        url: where names.txt is downloaded from; its checksum is verified.

    FileNotFoundError, ConnectionError (names.txt cannot be downloaded) and ValueError (the list
    cannot be read or split) say in one line what to do.
    """

    def __init__(
        self,
        path: str = NAMES_PATH,
        column: str | None = None,
        count: str | None = None,
        encoding: str | None = None,
        block_size: int = 3,
        batch_size: int = 32,
        sampling: loaders.Sampling = "replacement",
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
        check_types(NamesDataModule.__init__, locals(), "data")
        super().__init__()
        share, one_alone = 0 <= counts_share <= 1, (targets == "teacher") != bool(teachers)
        refuse([
            (count and not column, "--data.count needs a table: choose --data.column, too"),
            (block_size < 1, f"--data.block_size must be at least 1, not {block_size}"),
            (batch_size < 1, f"--data.batch_size must be at least 1, not {batch_size}"),
            (not share, f"--data.counts_share is a share in [0, 1], not {counts_share}"),
            (one_alone, "--data.targets teacher needs --data.teachers; set both or none"),
        ])  # fmt: skip
        self.teachers, self.counts_share = tuple(teachers), counts_share
        self.path, self.url, self.predict_path = path, url, predict_path
        self.reading = Reading(lowercase, strip, column, count, encoding)
        self.prepare_data()
        self.corpus = corpus.read_corpus(files.find(path), self.reading)
        self.vocab = Vocabulary(self.corpus.chars)
        self.chars, self.block_size = self.vocab.chars, block_size
        self.batch_size, self.sampling, self.targets = batch_size, sampling, targets
        self.generator = loaders.Order().manual_seed(int(seed))
        self.numbers = split_words(self.corpus.n_words, splits, split_seed)
        self.splits: dict[str, Split] = {}
        self._train_loader: loaders.MinibatchLoader | None = None

    def prepare_data(self) -> None:
        if self.path == NAMES_PATH:
            corpus.fetch(files.find(self.path), self.url)

    def setup(self, stage: str | None = None) -> None:
        """Builds the splits on the device of the trainer and, before a fit, the train loader."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if not self.splits:
            of = self.corpus, self.vocab, self.numbers, self.block_size
            self.splits = build_splits(*of, device)
            self.corpus = replace(self.corpus, text="")  # no longer needed: a byte a character
        for name, split in self.splits.items():
            if split.windows.device != device:  # of another Trainer, or of none
                windows = Windows(split.windows.stream.to(device), self.block_size)
                self.splits[name] = replace(split, windows=windows)
        if stage in (None, "fit"):
            trainer, passes = cast(Any, self.trainer), dict[str, Any]()
            if trainer:
                limit = trainer.overfit_batches or trainer.limit_train_batches
                passes = {"repeat": bool(trainer.overfit_batches), "limit": limit}
                passes["update"] = trainer.accumulate_grad_batches
            drawn = self._examples(), self.batch_size, self.generator, self.sampling
            self._train_loader = loaders.MinibatchLoader(*drawn, *self._process(), **passes)
            self.batch_size = self._train_loader.batch_size

    def teardown(self, stage: str) -> None:
        if stage == "fit" and self._train_loader:
            self._train_loader.goes_on = False

    def _say_what_was_read(self) -> None:
        notes, n = [*self.corpus.notes], self.corpus.n_words
        n_val, n_test = map(len, self.numbers[1:])
        if n_val and n < 200:
            where = f"{n_val} of them in val and {n_test} in test"
            notes.append(f"{self.path}: {n} words, {where}: a few per cent of a loss are chance")
        if n_val and (repeated := repeated_words(self.splits)):
            known = f"{known_words(self.splits, 'val'):,} of {n_val:,}"
            remedy = "" if self.corpus.is_names else " (try sort -u)"
            notes.append(
                f"{self.path}: words that repeat an earlier one: {repeated:,} of {n:,}; val words "
                f"that are training words: {known}{remedy}"
            )
        for note in notes:
            log.info(note)

    @property
    def _training(self) -> Windows:
        """The training words, each as often as its count wants it."""
        windows, times = self.splits["train"].windows, self.corpus.times
        if times is None:
            return windows
        numbers = torch.arange(len(self.numbers[0])).repeat_interleave(times[self.numbers[0]])
        stream = select_words(windows.stream.cpu(), numbers.int())
        return Windows(stream.to(windows.device), self.block_size)

    def _examples(self) -> Windows | Expected | Given:
        windows, vocab_size = self._training, len(self.vocab)
        if self.targets == "sampled":
            return windows
        if self.targets == "expected":
            return Expected(windows, vocab_size)
        if self.targets == "kneser_ney":
            return Given(windows, vocab_size, self.count_model.probabilities)
        teachers = [self.load_teacher(path) for path in self.teachers]
        seen = max([self.block_size, *(teacher.block_size for teacher in teachers)])
        taught = Taught(teachers, self.count_model, self.counts_share)
        return Given(windows, vocab_size, taught, seen)

    def load_teacher(self, teacher: str | Teacher) -> Teacher:
        """A checkpoint's network, refused if it may know val or test words of this run."""
        if isinstance(teacher, Teacher):  # was just trained on these words
            return teacher
        loaded = model.load(teacher)
        if apart := difference(loaded.vocab.chars, self.chars):
            raise ValueError(f"the teacher {teacher} has another vocabulary: {apart}")
        if any(map(len, self.numbers[1:])) and not loaded.train_hashes.equal(self.train_hashes):
            raise ValueError(
                f"the teacher {teacher} was trained on other words, perhaps on held-out ones; use "
                "the same list, --data.splits and --data.split_seed"
            )
        return Teacher(loaded.net, loaded.block_size)

    @property
    def train_hashes(self) -> Tensor:
        """The hashes of the distinct training words, sorted, (words,) int64."""
        if self.splits:
            return self.splits["train"].hashes.unique()
        return corpus.word_hashes(self.corpus.words())[self.numbers[0]].unique()

    @property
    def list_hashes(self) -> Tensor:
        """The same of all distinct words of the list, after setup."""
        return torch.cat([split.hashes for split in self.splits.values()]).unique()

    @cached_property
    def count_model(self) -> KneserNey:
        """Kneser–Ney for targets: the usual discount, whole windows. No val word has chosen it."""
        return KneserNey(*self._counted("train"), len(self.vocab))

    @cached_property
    def best_counts(self) -> KneserNey:
        """Kneser–Ney of the training words whose order and discount the val words chose."""
        return choose_counts(self._counted("train"), self._counted("val"), len(self.vocab))

    @cached_property
    def baselines(self) -> dict[str, Figures]:
        """The losses of the count models on every split, by the name of the model."""
        models = simple_models(*self._counted("train"), len(self.vocab))
        return losses_of({**models, "kneser_ney": self.best_counts}, self.splits)

    def _counted(self, name: str) -> Examples:
        x, y, counts = self._split(name).examples
        return x, y, counts[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """The place in the order, which Lightning may not restore in a loader at a pass's end."""
        return self._train_loader.state_dict() if self._train_loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._train_loader:
            self._train_loader.load_state_dict(state_dict)

    def train_dataloader(self) -> loaders.MinibatchLoader:
        if self._train_loader is None:
            raise ValueError("call setup first")
        if self.batch_size != self._train_loader.batch_size:  # as a BatchSizeFinder sets it
            self._train_loader.resize(self.batch_size)
            self.batch_size = self._train_loader.batch_size
        self._say_what_was_read()  # not before: what can be refused was refused in one line
        return self._train_loader

    def val_dataloader(self) -> loaders.EvaluationLoader:
        return self.evaluation_loader("val", *self._process())

    def test_dataloader(self) -> loaders.EvaluationLoader:
        return self.evaluation_loader("test", *self._process())

    def predict_dataloader(self) -> loaders.WordLoader:
        if self.predict_path is None:
            raise ValueError("predict scores the words of a file: --data.predict_path FILE")
        words = corpus.read_words(self.predict_path, self.reading)
        return loaders.WordLoader(words, *self._process())

    def evaluation_loader(
        self, name: str, rank: int = 0, world_size: int = 1
    ) -> loaders.EvaluationLoader:
        """The distinct examples of a split; by default all of them on one process."""
        split = self._split(name)
        device = split.windows.device
        batch_size = min(2**15, max(1, 2**22 // len(self.vocab)))  # bounds the logits' memory
        return loaders.EvaluationLoader(split.examples, device, batch_size, rank, world_size)

    def _split(self, name: str) -> Split:
        if not self.splits:
            raise ValueError("call setup first")
        return self.splits[name]

    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

"""Trained networks as teachers. They are refused if they know val or test words of this run."""

from pathlib import Path

from torch import Tensor

from lit_makemore import model as checkpoint
from lit_makemore.counts.targets import Teacher
from lit_makemore.words.vocab import difference


def load_teacher(teacher: str | Teacher, chars: str, train_hashes: Tensor) -> Teacher:
    """The network of a checkpoint.

    Args:
        teacher: the checkpoint; or what was just trained on the words of this run.
        chars: the vocabulary of the run that it teaches.
        train_hashes: (words,) the hashes of that run's distinct training words, sorted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint, or the teacher spells with other characters or was
            trained on other words.
    """
    if isinstance(teacher, Teacher):
        return teacher
    if not Path(teacher).is_file():
        raise FileNotFoundError(f"there is no teacher at {Path(teacher).absolute()}")
    loaded = checkpoint.load(teacher)
    if apart := difference(loaded.vocab.chars, chars):
        raise ValueError(f"the teacher {teacher} has another vocabulary: {apart}")
    if not loaded.train_hashes.equal(train_hashes):
        raise ValueError(
            f"the teacher {teacher} was trained on other words, perhaps on val or test words of "
            "this run; use the same list, --data.splits and --data.split_seed"
        )
    return Teacher(loaded.net, loaded.block_size)

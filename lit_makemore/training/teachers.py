"""Trained networks as teachers. They are refused if they know val or test words of this run."""

from pathlib import Path

from torch import Tensor

from lit_makemore import model as checkpoint
from lit_makemore.counts.targets import Teacher
from lit_makemore.words.vocab import difference


def load_teacher(path: str, chars: str, train_hashes: Tensor) -> Teacher:
    """The network of a checkpoint.

    Args:
        path: the checkpoint.
        chars: the vocabulary of the run that it teaches.
        train_hashes: (words,) the hashes of that run's distinct training words, sorted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint, or the teacher spells with other characters or was
            trained on other words.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no teacher at {Path(path).absolute()}")
    teacher = checkpoint.load(path)
    if apart := difference(teacher.vocab.chars, chars):
        raise ValueError(f"the teacher {path} has another vocabulary: {apart}")
    if not teacher.train_hashes.equal(train_hashes):
        raise ValueError(
            f"the teacher {path} was trained on other words, perhaps on val or test words of this "
            "run; use the same list, --data.splits and --data.split_seed"
        )
    return Teacher(teacher.net, teacher.block_size)

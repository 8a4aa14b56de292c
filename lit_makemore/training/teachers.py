"""Trained networks as teachers. They are refused if they know val or test words of this run."""

from pathlib import Path

from torch import Tensor, nn

from lit_makemore import checkpoint
from lit_makemore.words.vocab import difference


def load_teacher(path: str, block_size: int, chars: str, train_hashes: Tensor) -> nn.Module:
    """The network of a checkpoint, windows (D, T) to logits (D, V), in evaluation mode.

    Args:
        path: the checkpoint.
        block_size: T of the run that it teaches.
        chars: the vocabulary of that run.
        train_hashes: (words,) the hashes of that run's distinct training words, sorted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint, or the teacher sees other windows, spells with other
            characters, or was trained on other words.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no teacher at {Path(path).absolute()}")
    teacher = checkpoint.load(path)
    if teacher.block_size != block_size:
        raise ValueError(
            f"the teacher {path} sees {teacher.block_size} characters, this run {block_size}; "
            f"use --data.block_size {teacher.block_size}, or another teacher"
        )
    if apart := difference(teacher.vocab.chars, chars):
        raise ValueError(f"the teacher {path} has another vocabulary: {apart}")
    if not teacher.train_hashes.equal(train_hashes):
        raise ValueError(
            f"the teacher {path} was trained on other words, perhaps on val or test words of this "
            "run; use the same list, --data.splits and --data.split_seed"
        )
    return teacher.net

import os
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.files import write_text
from lit_makemore.model import NameModel
from lit_makemore.words.vocab import Vocabulary

ARCHITECTURE = {"n_hidden": 8, "n_layer": 2, "init": {"gain": 1.0}}


def model() -> NameModel:
    made = NameModel(Vocabulary("ab"), 2, ARCHITECTURE)
    made.train_hashes, made.list_hashes = torch.tensor([1, 3]), torch.tensor([1, 2, 3])
    return made


def entries(made: NameModel) -> dict:
    return {
        checkpoint.KEY: made.described("autograd"),
        "state_dict": {f"model.{k}": v for k, v in made.state_dict().items()},
        "global_step": 7,
    }


def test_a_model_comes_back_from_the_file_alone(tmp_path):
    made = model()
    made(torch.randint(0, 3, (5, 2)))  # running statistics other than the initial ones
    checkpoint.write(entries(made), tmp_path / "x.ckpt")
    loaded = checkpoint.load(tmp_path / "x.ckpt")
    x = torch.randint(0, 3, (9, 2))
    assert torch.equal(loaded(x), made.eval()(x))
    assert (loaded.vocab.chars, loaded.block_size) == ("ab", 2)
    for one in (loaded, loaded.folded()):
        assert one.train_hashes.tolist() == [1, 3]
        assert one.list_hashes.tolist() == [1, 2, 3]


def test_the_counts_of_a_mixture_come_back_with_their_own_order_and_discount(tmp_path):
    x, y = torch.tensor([[1], [2], [1]]), torch.tensor([2, 0, 1])  # of a network that sees two
    made = model()
    counts = KneserNey(x, y, torch.tensor([3, 2, 1]), 3, discount=0.6)
    made.mixture = Mixture(counts, (-40, 0, 0, 0))
    checkpoint.write(entries(made), tmp_path / "x.ckpt")
    found = checkpoint.load(tmp_path / "x.ckpt")
    # (2 after 1, 3 times; 1 after 1, once): (3 - 0.6 + 0.6 * 2 * p) / 4, p of no character before
    p = (1 - 0.6 + 0.6 * 3 / 3) / 3
    expected = (3 - 0.6 + 0.6 * 2 * p) / 4
    assert found(torch.tensor([[0, 1]])).exp()[0, 2].item() == pytest.approx(expected)


def test_output_to_a_device_or_a_link_replaces_neither(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        write_text(pipe, "through")
        assert read.result() == "through"
    with pytest.raises(IsADirectoryError, match="name a file"):
        write_text(tmp_path, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is incomplete or damaged"),
        (lambda path: path.write_bytes(b""), "is incomplete or damaged"),
        (lambda path: torch.save({"state_dict": {}}, path), "not a checkpoint of lit_makemore"),
        (lambda path: torch.save({checkpoint.KEY: {"format": 99}}, path), "by another version of"),
    ],
)
def test_a_bad_file_is_one_error_that_names_it(tmp_path, change, message):
    checkpoint.write(entries(model()), path := tmp_path / "x.ckpt")
    change(path)
    with pytest.raises(ValueError, match=f"{path}.* {message}"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "none.ckpt")


@pytest.mark.parametrize("words", ["ab", [1], [b"ab"], torch.zeros(2), [None]])
def test_only_a_list_of_words_is_scored(words):
    with pytest.raises(ValueError, match="score takes a list of words"):
        model().score(words)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        *(({"num": num}, f"num must be at least 1, not {num}") for num in (0, -1)),
        ({"seed": 2**70}, "seed 1180591620717411303424 does not fit into 64 bits"),
        ({"temperature": 0}, "temperature must be positive, not 0"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_p": 1.1}, r"top_p must lie in \(0, 1\], not 1.1"),
        ({"min_length": 0}, "min_length must be at least 1, not 0"),
        ({"best": 2}, "best must lie between 1 and num, not 2"),
        ({"exclude": "ab"}, "exclude takes a list of words"),
    ],
)
def test_python_names_the_argument(options, line):
    with pytest.raises(ValueError, match=f"^{line}"):
        model().eval().generate(**{"num": 1, **options})


@pytest.mark.parametrize("room", [0, 5000, 27_000])
def test_a_checkpoint_for_which_there_is_no_room_says_so(tmp_path, room):
    """torch says "unexpected pos 27968 vs 27860". The previous one stays."""
    (path := tmp_path / "x.ckpt").write_bytes(b"before")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoint.write({"x": torch.zeros(7000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"before"

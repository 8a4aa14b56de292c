"""The file of `export --format python`: numpy alone draws and scores as the network does."""

import subprocess
import sys
from collections import Counter
from functools import partial
from itertools import islice, product
from math import prod
from types import ModuleType

import numpy as np
import pytest
import torch

from lit_makemore.commands.export import python
from lit_makemore.model import NameModel
from lit_makemore.words.corpus import word_hashes
from tests.commands.test_export import MODELS, mixed, prefixes, random_model, windows
from tests.conftest import WORDS
from tests.sampling.test_generate import known


def exported(model: NameModel, folder) -> ModuleType:
    """The file, written to a folder, as a module."""
    (folder / "names.py").write_bytes(code := python(model.folded())[0])
    module = ModuleType("names")
    exec(code, vars(module))
    return module


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_it_predicts_scores_and_knows_as_the_model_does(make, tmp_path):
    model = make()
    begun = prefixes(model, 200)
    model.list_hashes = word_hashes(iter(begun)).sort().values
    names = exported(model, tmp_path)
    with torch.no_grad():
        expected = model(windows(model, begun)).softmax(1).numpy()
    found = [names._probabilities(names._tokens(text)) for text in begun]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert names.score(begun) == pytest.approx(model.score(begun), abs=1e-4)
    assert names.score(["\n", "ß", begun[0]])[:2] == [None, None]
    others = [*begun, "Zoë", "x" * 200, ""]
    marks = known(model.list_hashes, word_hashes(iter(others))).tolist()
    assert [names.known(word) for word in others] == marks


P = {"$": 0.3, " ": 0.2, "a": 0.4, "b": 0.1}  # the end, and the characters


@pytest.fixture
def fixed(tmp_path, monkeypatch) -> ModuleType:
    """The same distribution after every window."""
    names = exported(random_model(" ab", n_layer=1), tmp_path)
    monkeypatch.setattr(names, "_probabilities", lambda last: np.array([*P.values()]))
    return names


def probability(word: str, temperature: float) -> float:
    """By the rule that no name is empty, or has white space at an end."""
    factors = []
    for last, now in zip(["^", *word], [*word, "$"], strict=True):
        allowed = "ab" + " " * (last != "^") + "$" * (last in "ab")
        weights = {char: P[char] ** (1 / temperature) for char in allowed}
        factors.append(weights.get(now, 0) / sum(weights.values()))
    return prod(factors)


@pytest.mark.parametrize("temperature", [1, 0.5])
def test_names_have_the_probabilities_of_the_network(temperature, fixed):
    drawn = Counter(fixed.generate(2_000, 3, max_length=3, temperature=temperature, top_p=1))
    words = ["".join(word) for n in (1, 2, 3) for word in product(" ab", repeat=n)]
    p = {w: x for w in words if (x := probability(w, temperature))}
    assert len(p) == 18
    assert set(drawn) <= set(p)
    cells = {word: 2_000 * x / sum(p.values()) for word, x in p.items()}
    chi_square = sum((drawn[word] - cell) ** 2 / cell for word, cell in cells.items())
    assert chi_square < 40.8  # once in a thousand with 17 degrees of freedom


def test_options_leave_out_what_they_say(fixed, monkeypatch):
    generate = partial(fixed.generate, top_p=1)
    assert set(generate(200, 1, top_p=0.5, max_length=4)) == {"a", "aa", "aaa", "aaaa"}
    begun = generate(100, 2, prefix="ba", max_length=5)
    assert {name[:2] for name in begun} == {"ba"}
    assert max(map(len, begun)) == 5
    monkeypatch.setattr(fixed, "GIVE_UP", 300)
    assert sorted(generate(99, 3, max_length=2, unique=True)) == ["a", "aa", "ab", "b", "ba", "bb"]
    monkeypatch.setattr(fixed, "known", lambda name: name != "ab")
    assert set(generate(9, 4, max_length=2, only_new=True)) == {"ab"}
    assert generate(2, 5, prefix=" a") == []
    assert generate(2, 5, prefix="ab", max_length=1) == []
    assert generate(0) == []
    assert generate(5) != generate(5)
    for wrong in ({"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}, {"prefix": "é"}):
        with pytest.raises(ValueError, match="must|no word has 'é'; leave it out"):
            generate(1, **wrong)


def test_the_random_numbers_are_the_published_ones(tmp_path):
    """pcg-c, test-high/expected/check-pcg32si.out: seed 42, round 1."""
    names = exported(random_model(n_layer=1), tmp_path)
    assert [int(x * 2**32) for x in islice(names._random(42), 6)] == [
        0x256B5357, 0xA5EFAD32, 0x170B7830, 0x334A5B22, 0x3DE5C680, 0x9B47B7B3,
    ]  # fmt: skip


def test_the_file_is_a_program_that_needs_numpy_only(tmp_path):
    names = exported(mixed(random_model(n_layer=1)), tmp_path)

    def run(*arguments):
        blocked = "import sys; sys.modules.update(torch=None, lit_makemore=None); import names; "
        program = [sys.executable, "-c", f"{blocked}names.main()", *arguments]
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)

    drawn = run("--num", "5", "--seed", "2", "--prefix", "ma", "--top_p", "0.9", "--unique")
    assert drawn.stdout.splitlines() == names.generate(5, 2, prefix="ma", top_p=0.9, unique=True)
    scored = run("--score", WORDS[0], "É").stdout.splitlines()
    assert scored == [f"{names.score(WORDS)[0]}\t{WORDS[0]}", "None\tÉ"]
    wrong = run("--prefix", "É")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].endswith("error: no word has 'É'; leave it out")

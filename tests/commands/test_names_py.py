"""The file of `export --format python`: numpy alone draws and scores as the network does."""

import importlib.util
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
    """The file, written to a folder and imported."""
    path = folder / "names.py"
    path.write_bytes(python(model.folded())[0])
    spec = importlib.util.spec_from_file_location("names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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


class Fixed:
    """The same distribution after every window: of the end, white space, a and b."""

    p = (0.3, 0.2, 0.4, 0.1)

    def __init__(self, folder, monkeypatch) -> None:
        self.names = exported(random_model(" ab", n_layer=1), folder)
        monkeypatch.setattr(self.names, "_probabilities", lambda last: np.array(self.p))

    def probability(self, word: str, temperature: float = 1) -> float:
        """By the rule that no name is empty, or has white space at an end."""
        weights = [p ** (1 / temperature) for p in self.p]
        factors = []
        for last, now in zip(["^", *word], [*word, "$"], strict=True):
            allowed = {"a": 2, "b": 3}
            allowed |= {" ": 1} if last != "^" else {}
            allowed |= {"$": 0} if last in "ab" else {}
            total = sum(weights[i] for i in allowed.values())
            factors.append(weights[allowed[now]] / total if now in allowed else 0)
        return prod(factors)


@pytest.mark.parametrize("temperature", [1, 0.5])
def test_names_have_the_probabilities_of_the_network(temperature, tmp_path, monkeypatch):
    fixed = Fixed(tmp_path, monkeypatch)
    names = fixed.names.generate(2_000, 3, max_length=3, temperature=temperature, top_p=1)
    words = ["".join(word) for n in (1, 2, 3) for word in product(" ab", repeat=n)]
    p = {w: x for w in words if (x := fixed.probability(w, temperature))}
    drawn, total = Counter(names), sum(p.values())
    assert set(drawn) <= set(p)
    assert " a" not in p
    assert "a b" in p
    cells = {word: 2_000 * x / total for word, x in p.items()}
    chi_square = sum((drawn[word] - cell) ** 2 / cell for word, cell in cells.items())
    assert chi_square < 40.8  # once in a thousand with 17 degrees of freedom
    assert len(p) == 18


def test_options_leave_out_what_they_say(tmp_path, monkeypatch):
    fixed = Fixed(tmp_path, monkeypatch)
    generate = partial(fixed.names.generate, top_p=1)
    assert set(generate(200, 1, top_p=0.5, max_length=4)) == {"a", "aa", "aaa", "aaaa"}
    begun = generate(100, 2, prefix="ba", max_length=5)
    assert {name[:2] for name in begun} == {"ba"}
    assert max(map(len, begun)) == 5
    monkeypatch.setattr(fixed.names, "GIVE_UP", 300)
    assert sorted(generate(99, 3, max_length=2, unique=True)) == ["a", "aa", "ab", "b", "ba", "bb"]
    monkeypatch.setattr(fixed.names, "known", lambda name: name != "ab")
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

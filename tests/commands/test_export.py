"""`export`: each format holds the network that was trained."""

import base64
import json
import random
import re
import shutil
from copy import copy
from functools import partial
from html import escape

import numpy as np
import pytest
import torch

from lit_makemore.cli import main
from lit_makemore.commands.export import MOST_COUNTS, PARTS, packed_counts, web_page
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.model import NameModel
from lit_makemore.network.mlp import Init
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import Windows, distinct, encode
from tests.conftest import ROOT, WORDS

STRANGE = "</script>!-{}\"'&. é😀\u0627"
ARCHITECTURES = [
    {"n_layer": 5, "bn_variance": "unbiased"},
    {"n_layer": 1, "activation": "relu", "logits_batch_norm": True},
    {"n_layer": 2, "activation": "linear", "norm": "none", "dropout": 0.5},
]


def random_model(
    chars: str = "abcdefghijklmnopqrstuvwxyz", block_size: int = 3, **architecture
) -> NameModel:
    """A random network whose running statistics have moved."""
    torch.manual_seed(1)
    vocab = Vocabulary("".join(sorted(set(chars))))
    model = NameModel(vocab, block_size, {"activation": "tanh", "init": Init(), **architecture})
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    for _ in range(20):
        model.net.train()(torch.randint(0, len(vocab), (64, block_size)))
    model.list_hashes = word_hashes(iter(WORDS)).sort().values
    return model.eval()


def examples(model: NameModel, words: list[str]) -> tuple[torch.Tensor, ...]:
    windows = Windows(encode("".join(word + END for word in words), model.vocab), model.block_size)
    return distinct(windows, len(model.vocab))


def mixed(model: NameModel, order: int = 3) -> NameModel:
    """The same network mixed with the counts of words, which look back less far."""
    model, (x, y, n) = copy(model), examples(model, WORDS)
    rows, inverse = torch.cat([x[:, -order:], y[:, None]], 1).unique(dim=0, return_inverse=True)
    counts = KneserNey(rows[:, :-1], rows[:, -1], inverse.bincount(n).long(), len(model.vocab))
    model.mixture = Mixture(counts, 0.7)
    return model


MODELS = {
    **{f"layers {x['n_layer']}": partial(random_model, **x) for x in ARCHITECTURES},
    "mixture": lambda: mixed(random_model(n_layer=3)),
    "mixture of 8": lambda: mixed(random_model(block_size=8, n_layer=2, n_hidden=30), 6),
    "characters": lambda: random_model(STRANGE, n_layer=1),
}


def prefixes(model: NameModel, num: int) -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choices(model.vocab.chars, k=draw.randrange(12))) for _ in range(num)]


def windows(model: NameModel, begun: list[str]) -> torch.Tensor:
    padding = [0] * model.block_size
    return torch.tensor(
        [[*padding, *model.vocab.encode(text)][-model.block_size :] for text in begun]
    )


def content(page: bytes) -> dict:
    (found,) = re.findall(rb'<script type="application/json" id="network">(.*)</script>', page)
    return json.loads(found)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_the_page_holds_the_network(architecture):
    """Read by numpy, in float64."""
    model = random_model(**architecture)
    page, left_out = web_page(model.folded())
    assert left_out == ""
    network = content(page)["network"]
    numbers = np.frombuffer(base64.b64decode(network["parameters"]), "<f4").astype(float)
    begun = windows(model, prefixes(model, 200)).numpy()
    shapes = [network["embedding"]]
    for outputs, inputs in network["layers"]:
        shapes += [[outputs, inputs], [outputs]]
    parts = np.split(numbers, np.cumsum([np.prod(shape) for shape in shapes]))
    assert len(parts.pop()) == 0
    embedding, *parts = (p.reshape(s) for p, s in zip(parts, shapes, strict=True))
    activate = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "linear": lambda x: x}
    x = embedding[begun].reshape(len(begun), -1)
    for i in range(0, len(parts), 2):
        x = x @ parts[i].T + parts[i + 1]
        if i < len(parts) - 2:
            x = activate[network["activation"]](x)
    with torch.no_grad():
        np.testing.assert_allclose(x, model.net(torch.tensor(begun)).numpy(), atol=1e-5)


def unpacked(packed: bytes, width: int) -> dict[tuple[int, ...], int]:
    numbers, value, scale = [], 0, 0
    for byte in packed:
        value |= (byte & 127) << scale
        scale += 7
        if byte < 128:
            numbers.append(value)
            value = scale = 0
    rows, row = {}, [0] * width
    while numbers:
        shared = numbers.pop(0)
        for i in range(shared, width):
            row[i] = numbers.pop(0)
        rows[tuple(row)] = numbers.pop(0)
    return rows


def test_counts_are_packed_whole():
    rows = torch.tensor([[0, 0, 300], [0, 200, 1], [0, 200, 2], [300, 0, 0], [300, 1, 0]])
    numbers = torch.tensor([1, 127, 128, 70_000, 5])
    counts = KneserNey(rows[:, :-1], rows[:, -1], numbers, 301)
    expected = dict(zip(map(tuple, rows.tolist()), numbers.tolist(), strict=True))
    assert unpacked(packed_counts(counts), 3) == expected


def test_counts_that_are_large_are_left_out_and_it_is_said(monkeypatch):
    model = mixed(random_model(n_layer=1)).folded()
    page, left_out = web_page(model)
    assert content(page)["weight"] == 0.7
    assert content(page)["counts"]["width"] == 4
    assert left_out == ""
    monkeypatch.setattr("lit_makemore.commands.export.MOST_COUNTS", 100)
    page, left_out = web_page(model)
    assert "counts" not in content(page)
    assert "a page has at most 100" in left_out
    assert MOST_COUNTS == 400_000


def test_no_character_ends_the_script():
    page, _ = web_page(random_model(STRANGE, n_layer=1).folded())
    assert page.count(b"</script>") == 3


def test_each_text_of_the_page_is_in_the_table_and_each_entry_is_used():
    html, texts, script = (
        (PARTS / name).read_text("utf-8") for name in ("page.html", "texts.js", "page.js")
    )
    used = re.findall(r'data-text="(\w+)"', html) + re.findall(r"\bsay\.(\w+)", script)
    assert sorted(set(used)) == sorted(re.findall(r"^    (\w+): ", texts, re.MULTILINE))


@pytest.fixture
def run(ckpt, tmp_path, monkeypatch):
    """Exports the shared checkpoint, or another file, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, path=ckpt: main(["export", "--ckpt_path", path, *arguments])


def test_the_command_writes_beside_the_user(run, model, tmp_path, capsys):
    for options, name in [([], "last.html"), (["--format", "python"], "last.py")]:
        assert run(*options) == 0
        out, err = capsys.readouterr()
        assert re.fullmatch(name + r": [\d,]+ parameters, [\d,]+ bytes\n", out)
        assert err == ""
    found = content((tmp_path / "last.html").read_bytes())
    assert found["chars"] == model.vocab.chars
    assert found["weight"] == model.mixture.weight


def test_the_title_is_text(run, tmp_path, capsys):
    title = "A & B</h1> {{ names }}"
    assert run("--title", title) == 0
    page = (tmp_path / "last.html").read_text("utf-8")
    assert re.findall("<(?:title|h1).*?>(.*)</", page) == [escape(title)] * 2
    assert run("--title", title, "--format", "python") == 1
    assert "--title is of a page; leave it out, or --format python" in capsys.readouterr().err
    assert not (tmp_path / "last.py").exists()


def test_bad_input_is_one_line_and_nothing_is_written(run, ckpt, tmp_path, capsys):
    text, folder = tmp_path / "a.txt", tmp_path / "folder"
    text.write_text("a file")
    folder.mkdir()
    broken = torch.load(ckpt, weights_only=True)
    next(value for name, value in broken["state_dict"].items() if "embedding" in name)[0, 0] = (
        torch.nan
    )
    torch.save(broken, tmp_path / "nan.ckpt")
    before = sorted(tmp_path.rglob("*"))
    for arguments, path, told in [
        (["--output", str(folder)], None, f"{folder} is a folder; name a file"),
        (["--output", f"{text}/a.html"], None, "a.txt"),
        ([], "nan.ckpt", "nan.ckpt: some parameters are not finite"),
        ([], "none.ckpt", "no checkpoint at none.ckpt"),
    ]:
        assert run(*arguments, **({"path": path} if path else {})) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert sorted(tmp_path.rglob("*")) == before


def test_the_page_of_the_documentation_is_of_this_version():
    page = (ROOT / "docs" / "names.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 450_000
    (network,) = re.findall(r'id="network">(.*)</script>', page)
    current = web_page(random_model(n_layer=1).folded())[0].decode()
    assert page.replace(network, "") == re.sub(r'(id="network">).*(</script>)', r"\1\2", current)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_the_examples_of_the_documentation_run(run, ckpt, model, tmp_path, monkeypatch):
    onnx, *_ = map(pytest.importorskip, ("onnx", "onnxruntime", "onnxscript", "safetensors"))
    shutil.copy(ckpt, tmp_path / "best.ckpt")
    assert run("--format", "python", "--output", "names.py", path="best.ckpt") == 0
    monkeypatch.syspath_prepend(tmp_path)
    found = {}
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    for example in re.findall("```python\n(.*?)```", page, re.DOTALL):
        exec(example, found)
    assert len(found["drawn"]) == 10
    assert found["scores"] == pytest.approx(model.score(["emma", "olivia"]), abs=1e-4)
    assert isinstance(found["sons"], list)
    onnx.checker.check_model(onnx.load("best.onnx"), full_check=True)
    x = windows(model, ["ma"])
    with torch.no_grad():
        np.testing.assert_allclose(found["logits"], model.net(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("layer", [torch.nn.GELU(), torch.nn.LayerNorm(100)])
def test_a_page_refuses_a_layer_that_it_cannot_compute(layer):
    model = random_model(n_layer=1).folded()
    model.net.layers[1] = layer
    with pytest.raises(ValueError, match=f"a page cannot compute {type(layer).__name__}, nor"):
        web_page(model)

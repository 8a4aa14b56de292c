"""`export`: each format holds the network that was trained."""

import base64
import json
import random
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.commands import export
from lit_makemore.commands.web_page import MOST_COUNTS, packed_counts, web_page
from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.network.mlp import MLP
from lit_makemore.sampling.word_filter import WordFilter
from lit_makemore.words.corpus import word_hash, word_hashes
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import Windows, distinct, encode
from tests.benchmarks.exported_page import CHROMIUM, PHONE, draw, opened
from tests.conftest import ROOT, WORDS
from tests.sampling.repeatable import draw_names

MIXTURE = ("--model.count_mixture", "true")
KNOWN = (*MIXTURE, "--model.known_words", "true", "--data.block_size", "10")
STRANGE = "</script>!-{}\"'&. é😀\u0627"
ARCHITECTURES = [
    {"n_layer": 5, "bn_variance": "unbiased"},
    {"n_layer": 1, "activation": "relu", "logits_batch_norm": True},
    {"n_layer": 2, "activation": "linear", "batch_norm": False, "dropout": 0.5},
]


def trained(chars: str = "abcdefghijklmnopqrstuvwxyz", block_size: int = 3, **architecture):
    """A checkpoint of a random network whose running statistics have moved."""
    torch.manual_seed(1)
    vocab = Vocabulary("".join(sorted(set(chars))))
    net = MLP(len(vocab), block_size, **architecture)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    for _ in range(20):
        net.train()(torch.randint(0, len(vocab), (64, block_size)))
    hashes = word_hashes(iter(WORDS)).sort().values
    return checkpoint.Checkpoint(
        net.eval(), net, vocab, block_size, hashes, 1, {"activation": "tanh", **architecture}
    )


def mixed(model: checkpoint.Checkpoint, words=WORDS) -> checkpoint.Checkpoint:
    """The same network mixed with the counts of words."""
    end = model.vocab.itos[0]
    stream = encode("".join(word + end for word in words), model.vocab)
    examples = distinct(Windows(stream, model.block_size), len(model.vocab))
    counts = KneserNey(*examples, len(model.vocab))
    return replace(model, predictor=Mixture(model.net, counts, 0.7))


def prefixes(model: checkpoint.Checkpoint, num: int) -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choices(model.vocab.chars, k=draw.randrange(12))) for _ in range(num)]


def windows(model: checkpoint.Checkpoint, begun: list[str]) -> torch.Tensor:
    padding = [0] * model.block_size
    return torch.tensor(
        [[*padding, *model.vocab.encode(text)][-model.block_size :] for text in begun]
    )


def content(page: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="network">(.*)</script>', page)
    return json.loads(found)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_the_page_holds_the_network(architecture):
    """Read by numpy, in float64."""
    model = trained(**architecture)
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
    counts = KneserNey.from_rows(rows, numbers, 301)
    expected = dict(zip(map(tuple, rows.tolist()), numbers.tolist(), strict=True))
    assert unpacked(packed_counts(counts), 3) == expected


def test_a_page_of_the_lectures_network_is_small():
    model = trained(n_hidden=100, n_layer=5)
    assert sum(parameter.numel() for parameter in model.net.parameters()) == 46_997
    names = word_hashes(f"name {i}" for i in range(25_626))  # as many as the names to train on
    page, _ = web_page(replace(model, train_hashes=names).folded())
    assert len(page.encode()) <= 400_000


def test_counts_that_are_large_are_left_out_and_it_is_said(monkeypatch):
    model = mixed(trained(n_layer=1)).folded()
    page, left_out = web_page(model)
    assert content(page)["weight"] == 0.7
    assert content(page)["counts"]["width"] == 4
    assert left_out == ""
    monkeypatch.setattr("lit_makemore.commands.web_page.MOST_COUNTS", 100)
    page, left_out = web_page(model)
    assert "counts" not in content(page)
    assert "a page has at most 100" in left_out
    assert MOST_COUNTS == 400_000


def test_no_character_ends_the_script():
    model = trained(STRANGE, n_layer=1)
    page, _ = web_page(model.folded())
    assert content(page)["chars"] == model.vocab.chars
    assert page.count("</script>") == 3


@pytest.fixture(scope="module")
def ckpt_of(small_run):
    """The path of a small run's checkpoint, by its options."""
    return lambda *options: small_run(*options) / "checkpoints" / "last.ckpt"


@pytest.fixture
def run(ckpt_of):
    def run(*arguments: str, path=ckpt_of(*MIXTURE)) -> int:
        return main(["export", "--ckpt_path", str(path), *arguments])

    return run


def test_the_command_writes_beside_the_user(run, ckpt_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"last.html: [\d,]+ parameters, [\d,]+ bytes\n", out)
    assert err == ""
    stored = checkpoint.load(ckpt_of(*MIXTURE))
    found = content((tmp_path / "last.html").read_text(encoding="utf-8"))
    assert found["chars"] == stored.vocab.chars
    assert found["weight"] == stored.predictor.weight


def test_bad_input_is_one_line_and_nothing_is_written(run, ckpt_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "a.txt"
    text.write_text("a file")
    folder = tmp_path / "folder"
    folder.mkdir()
    broken = torch.load(ckpt_of(), weights_only=True)
    broken["state_dict"]["net.embedding.weight"][0, 0] = torch.nan
    torch.save(broken, tmp_path / "nan.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    before = sorted(tmp_path.rglob("*"))
    for arguments, path, told in [
        (["--output", str(folder)], None, f"--output {folder}: it is a folder"),
        (["--output", f"{text}/a.html"], None, f"--output {text}/a.html: "),
        ([], "nan.ckpt", "--ckpt_path nan.ckpt: some parameters are not finite"),
        ([], "other.ckpt", "other.ckpt is not a checkpoint of lit_makemore"),
        ([], "a.txt", "a.txt is incomplete or damaged"),
        ([], "none.ckpt", "no checkpoint at none.ckpt"),
    ]:
        assert run(*arguments, **({"path": path} if path else {})) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    with pytest.raises(SystemExit):
        run("--format", "xml")
    (line,) = capsys.readouterr().err.splitlines()
    assert "format" in line
    assert "xml" in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["onnx", "safetensors"])
def test_a_missing_package_is_named(run, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "find_spec", lambda package: None)
    assert run("--format", name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--format {name} needs {name}" in line
    assert f"pip install {name}" in line
    assert list(tmp_path.iterdir()) == []


def test_safetensors_is_enough_to_build_the_predictor_again(run, ckpt_of, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "out.safetensors"
    assert run("--format", "safetensors", "--output", str(path)) == 0
    assert capsys.readouterr().err == ""
    with safetensors.safe_open(path, "pt") as file:
        described = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    rows, numbers = tensors.pop("counts.rows"), tensors.pop("counts.numbers")
    vocab_size, block_size = len(described["chars"]) + 1, int(described["block_size"])
    net = MLP(vocab_size, block_size, **json.loads(described["architecture"])).eval()
    net.load_state_dict(tensors)
    mixture = json.loads(described["mixture"])
    counts = KneserNey.from_rows(rows, numbers, vocab_size, mixture["discount"])
    stored = checkpoint.load(ckpt_of(*MIXTURE))
    x = windows(stored, prefixes(stored, 100))
    torch.testing.assert_close(Mixture(net, counts, mixture["weight"])(x), stored.predictor(x))


def test_known_words_are_in_safetensors_and_not_in_a_page(ckpt_of):
    safetensors = pytest.importorskip("safetensors.torch")
    stored = checkpoint.load(ckpt_of(*KNOWN))
    without = Mixture(stored.net, *stored.mixture)
    fitted = stored.known_words.fitted(without, 9, 10)
    model = replace(stored, predictor=Mixture(stored.net, *stored.mixture, fitted)).folded()
    _, left_out = web_page(model)
    assert left_out == "the known words: a page does not hold the training words"
    written, left_out = export.WRITERS["safetensors"](model)
    assert left_out == ""
    tensors = safetensors.load(written)
    length = int.from_bytes(written[:8], "little")
    described = json.loads(written[8 : 8 + length])["__metadata__"]
    known = KnownWords(
        tensors["known_words.rows"],
        len(described["chars"]) + 1,
        tensors["known_words.q"],
        **json.loads(described["known_words"]),
    )
    x = windows(stored, prefixes(stored, 100))
    expected = model.predictor(x) - without(x)
    assert expected.abs().max() > 1
    torch.testing.assert_close(known.log_factors(x).float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_onnx_names_the_known_words_that_it_leaves_out(ckpt_of):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = checkpoint.load(ckpt_of(*KNOWN)).folded()
    _, left_out = export.WRITERS["onnx"](model)
    assert left_out == "the counts of its mixture and its known words: ONNX cannot hold them"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_onnx_gives_the_same_logits_for_any_number_of_windows(architecture):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = mixed(trained(**architecture))
    written, left_out = export.WRITERS["onnx"](model.folded())
    assert "ONNX cannot hold" in left_out
    assert str(ROOT).encode() not in written
    session = runtime.InferenceSession(written, providers=["CPUExecutionProvider"])
    for num in (1, 7, 1000):
        x = windows(model, prefixes(model, num))
        (logits,) = session.run(["logits"], {"windows": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, model.net(x).numpy(), atol=1e-5)
    described = session.get_modelmeta().custom_metadata_map
    assert described == {"chars": model.vocab.chars, "block_size": "3"}


@pytest.mark.slow
def test_the_command_writes_onnx_and_says_what_is_not_in_it(run, tmp_path, capfd):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    path = tmp_path / "out.onnx"
    assert run("--format", "onnx", "--output", str(path)) == 0
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert list(tmp_path.iterdir()) == [path]
    out, err = capfd.readouterr()
    assert out.startswith(f"{path}: ")
    (line,) = err.splitlines()
    assert "without the counts of its mixture: ONNX cannot hold them" in line


def test_the_page_of_the_documentation_is_of_this_version():
    page = (ROOT / "docs" / "names.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    (network,) = re.findall(r'id="network">(.*)</script>', page)
    current = web_page(trained(n_layer=1).folded())[0]
    assert page.replace(network, "") == re.sub(r'(id="network">).*(</script>)', r"\1\2", current)


@pytest.mark.slow
def test_the_examples_of_the_documentation_run(run, ckpt_of, tmp_path, monkeypatch):
    for package in ("onnxruntime", "onnxscript", "safetensors"):
        pytest.importorskip(package)
    model = checkpoint.load(ckpt_of())
    shutil.copy(ckpt_of(), tmp_path / "best.ckpt")
    monkeypatch.chdir(tmp_path)
    for name in ("onnx", "safetensors"):
        assert run("--format", name, path="best.ckpt") == 0
    examples = re.findall(
        "```python\n(.*?)```", (ROOT / "docs/export.md").read_text(encoding="utf-8"), re.DOTALL
    )
    in_python, in_onnx, in_safetensors = ({} for _ in examples)
    exec(examples[0], in_python)
    assert len(in_python["names"]) == 10
    exec(examples[1], in_onnx)
    exec(examples[2], in_safetensors)
    x = windows(model, ["ma"])
    with torch.no_grad():
        np.testing.assert_allclose(in_onnx["logits"], model.net(x).numpy(), atol=1e-5)
        np.testing.assert_allclose(in_safetensors["net"](x), model.net(x).numpy(), atol=1e-5)


in_a_browser = pytest.mark.browser


def needs_browser() -> None:
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium")


def written(model: checkpoint.Checkpoint, folder):
    path = folder / "page.html"
    path.write_text(web_page(model.folded())[0], encoding="utf-8")
    return path


def log_p(model: checkpoint.Checkpoint, begun: list[str]) -> torch.Tensor:
    """The logits of the whole checkpoint, Batch Normalization not folded."""
    with torch.no_grad():
        return model.predictor(windows(model, begun))


@in_a_browser
@pytest.mark.parametrize(
    "make",
    [
        lambda: trained(**ARCHITECTURES[0]),
        lambda: trained(**ARCHITECTURES[1]),
        lambda: trained(**ARCHITECTURES[2]),
        lambda: mixed(trained(n_layer=3)),
        lambda: mixed(trained(block_size=8, n_layer=2, n_hidden=30)),
        lambda: trained(STRANGE, n_layer=1),
    ],
    ids=["tanh", "relu", "linear", "mixture", "mixture of 8", "characters"],
)
def test_a_browser_computes_the_same_logits_and_draws_the_same_names(make, tmp_path):
    needs_browser()
    model = make()
    begun = prefixes(model, 1000)
    model = replace(model, train_hashes=word_hashes(iter(prefixes(model, 300))))
    with opened(written(model, tmp_path)) as page:
        found = page.evaluate("(all) => all.map((p) => [...litMakemore.logits(p)])", begun)
        np.testing.assert_allclose(found, log_p(model, begun).numpy(), atol=1e-5)

        known = WordFilter(model.train_hashes)
        others = [*begun, "Zoë", "x" * 200, "y" * 128, "z" * 129, ""]
        marks = page.evaluate("(all) => all.map((name) => litMakemore.known(name))", others)
        assert marks == known.contains(word_hashes(iter(others))).tolist()

        folded = model.folded()
        for options in [
            {"seed": 0, "num": 50},
            {"seed": 2**32 - 1, "num": 20, "temperature": 0.6, "prefix": model.vocab.chars[:2]},
            {"seed": 7, "num": 20, "minLength": 2, "maxLength": 6},
        ]:
            names = page.evaluate("(options) => litMakemore.names(options)", options)
            renamed = {"minLength": "min_length", "maxLength": "max_length"}
            ours = {renamed.get(name, name): value for name, value in options.items()}
            expected = draw_names(folded.predictor, model.vocab, model.block_size, **ours)
            assert names == expected
        new = page.evaluate("litMakemore.names({num: 20, seed: 3, maxLength: 3, onlyNew: true})")
        assert new == draw_names(
            folded.predictor, model.vocab, model.block_size, 20, 3, max_length=3,
            known=lambda name: word_hash(name) in known,
        )  # fmt: skip


@in_a_browser
def test_two_elements_of_the_page_are_enough_on_another_site(tmp_path):
    needs_browser()
    model = trained(n_layer=1)
    page = web_page(model.folded())[0]
    elements = re.findall(r'<script [^>]*id="(?:network|names)">.*?</script>', page, re.DOTALL)
    own = "<ol id=list></ol>{}<script type=module>list.innerHTML = '<li>' + {}</script>"
    path = tmp_path / "own.html"
    path.write_text(own.format("".join(elements), "litMakemore.names({num: 1, seed: 4})"))
    with opened(path) as found:
        expected = draw_names(model.folded().predictor, model.vocab, 3, 1, 4)
        assert found.locator("#list li").all_text_contents() == expected


@in_a_browser
@pytest.mark.parametrize("size", [PHONE, (1000, 740)], ids=["phone", "desktop"])
def test_the_page_works_with_the_keyboard_at_any_width(size, tmp_path):
    needs_browser()
    model = trained(n_layer=1)
    with opened(written(model, tmp_path), size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        expected = draw_names(model.folded().predictor, model.vocab, 3, 10, 5, prefix="ma")
        assert draw(page, 5, prefix="ma") == expected
        assert page.inner_text("#drawn") == "Seed 5"
        p = log_p(model, ["ma"])[0].softmax(0)
        letters, shares = (page.locator(f"#bars {part}").all_text_contents()
                           for part in ("th", "td:last-child"))  # fmt: skip
        best = int(p.argmax())
        assert letters[0] == ["(end)", *model.vocab.chars][best]
        assert shares[0] == f"{100 * float(p[best]):.1f} %"

        for name in ("prefix", "temperature", "shortest", "longest", "num", "seed", "only-new"):
            assert page.locator(f"label:has(#{name}), label[for={name}]").count() == 1
        page.focus("#prefix")
        order = []
        for _ in range(7):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || 'button'"))
        assert order == ["temperature", "shortest", "longest", "num", "seed", "only-new", "button"]
        page.fill("#seed", "6")
        page.focus("#prefix")
        page.keyboard.press("Enter")
        expected = draw_names(model.folded().predictor, model.vocab, 3, 10, 6, prefix="ma")
        assert page.locator("#list li").all_text_contents() == expected

        page.fill("#prefix", "maÉ")
        assert page.inner_text("#error") == "No training word has a “É”."
        page.fill("#prefix", "M")
        assert page.inner_text("#error") == "No training word has a “M”. Try “m”."
        page.fill("#prefix", "")
        page.fill("#shortest", "200")
        page.click("button")  # the browser refuses: at most 100, at least 200
        assert page.locator("#list li").all_text_contents() == expected
        page.fill("#longest", "1000")
        page.click("button")
        assert page.inner_text("#drawn").startswith("Only 0 of 10 were found")

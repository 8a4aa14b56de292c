"""Whatever it is fed, it fails with one line and leaves nothing behind.

The ordinary run tries a few inputs; 10,000 take some minutes:

    FUZZ_EXAMPLES=2000 pytest -m long tests/commands/test_fuzz.py
"""

import io
import json
import os
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_makemore.cli import main
from tests.conftest import WORDS

TINY = ["--model.n_hidden", "4", "--model.n_layer", "1", "--data.batch_size", "4"]
TINY += ["--trainer.fast_dev_run", "1", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="module")
def material(small_run) -> dict:
    """A word list, a configuration and a checkpoint, all of them good."""
    run = small_run()
    return {
        "words": run.parent / "words.txt",
        "config": (run / "config.yaml").read_text(),
        "checkpoint": (run / "checkpoints" / "best.ckpt").read_bytes(),
    }


def outcome(arguments: list[str], folder: Path) -> int:
    """Runs a command in an empty folder; checks the manner of its failure, returns the status."""
    before, here = sorted(folder.rglob("*")), os.getcwd()
    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status = main([*arguments, "--runs_dir", "runs"] if "fit" in arguments else arguments)
    except SystemExit as exit_:
        status = exit_.code  # type: ignore[assignment]
    finally:
        os.chdir(here)
    said = err.getvalue().strip().splitlines()
    assert status in (0, 1, 2), (arguments, status)
    if status:
        assert len(said) == 1, (arguments, said)
        assert said[0].startswith("error: "), (arguments, said)
        assert "--debug shows where" not in said[0], (arguments, said)  # not foreseen
    assert sorted(folder.rglob("*")) == before, arguments
    return status


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def each_size(test):
    """The test as an ordinary one with a few examples, and as a long one with many."""
    many = int(os.environ.get("FUZZ_EXAMPLES", "2000"))

    @pytest.mark.parametrize("count", [8, pytest.param(many, marks=pytest.mark.long)])
    def run(material, tmp_path, count):
        few = settings(SETTINGS, max_examples=count)
        few(given(st.data())(lambda data: test(material, tmp_path, data)))()

    run.__name__ = test.__name__
    return run


scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(), st.text(max_size=8)),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
lines = (
    st.text("ab\n\r\t .é\x00\ufeff", max_size=12),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from([*WORDS, '"', "7", ""]), max_size=3).map(",".join),
    st.dictionaries(st.sampled_from(["ada", "7"]), scalars).map(json.dumps),
)
lists = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(str.encode),
    *(st.lists(kind, max_size=60).map("\n".join).map(str.encode) for kind in lines),
)


ENCODINGS = ["cp1252", "utf-16-le", "utf-7", "shift-jis", "big5", "punycode", "idna", "hex"]


@each_size
def test_word_lists(material, tmp_path, data):
    path = tmp_path / "list.txt"
    path.write_bytes(data.draw(lists))
    column = data.draw(st.sampled_from([[], ["--data.column", "1"], ["--data.column", "ada"]]))
    count = data.draw(st.sampled_from([[], ["--data.count", "2"], ["--data.count", "7"]]))
    encoding = data.draw(st.none() | st.sampled_from(ENCODINGS) | st.text(max_size=6))
    given = [] if encoding is None else [f"--data.encoding={encoding}"]
    outcome(["fit", "--data.path", str(path), *column, *count, *given, *TINY], tmp_path)


SIZES = ("n_hidden", "n_layer", "n_embd", "block_size")  # a large one is no error, only slow


@each_size
def test_configurations(material, tmp_path, data):
    """One value replaced, or the text cut and spliced."""
    text = material["config"]
    if data.draw(st.booleans()):
        config = yaml.safe_load(text)
        group = data.draw(st.sampled_from(["model", "data", "diagnostics", ""]))
        inner = config[group] if group else config
        kept = (*SIZES, "path", "url", "trainer", "runs_dir")
        keys = [key for key in inner if key not in kept]
        inner[data.draw(st.sampled_from(keys))] = data.draw(scalars)
        text = yaml.dump(config)
    else:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        text = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    words = ["--data.path", str(material["words"])]
    outcome(["fit", "--config", str(path), *words, *TINY], tmp_path)


options = st.sampled_from(
    """
    --model.lr --model.activation --model.init.gain --trainer.gradient_clip_val --model.schedule
    --model.warmup --model.optimizer --model.engine --model.lr_milestones
    --data.splits --data.sampling --data.targets --data.block_size --data.split_seed
    --trainer.max_steps --trainer.precision --threads --name --resume --seed_everything
    --diagnostics.fail_on --config --typo
    """.split()
)
values = st.one_of(
    st.text(max_size=6),
    st.integers(-2, 300).map(str),
    st.floats().map(str),
    st.sampled_from(["true", "false", "null", "auto", "[1, 2]", "{}", "sgd", "adamw", "one_cycle"]),
)


@each_size
def test_command_lines(material, tmp_path, data):
    more = data.draw(st.lists(st.tuples(options, values), min_size=1, max_size=3))
    arguments = [part for pair in more for part in pair]
    outcome(["fit", "--data.path", str(material["words"]), *TINY, *arguments], tmp_path)


@each_size
def test_prefixes_and_other_options_of_sample(material, tmp_path, data):
    path = tmp_path / "a.ckpt"
    path.write_bytes(material["checkpoint"])
    names = ["--prefix", "--num", "--temperature", "--top_k", "--top_p", "--max_length", "--seed"]
    arguments = ["sample", "--ckpt_path", str(path), "--num", "3"]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        arguments += [name, data.draw(values)]
    outcome(arguments, tmp_path)


@each_size
def test_checkpoints(material, tmp_path, data):
    whole = bytearray(material["checkpoint"])
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(whole)))
        kind = data.draw(st.sampled_from(["cut", "change", "insert"]))
        if kind == "cut":
            del whole[start : start + data.draw(st.integers(1, 2000))]
        elif kind == "change":
            new = data.draw(st.binary(min_size=1, max_size=20))
            whole[start : start + len(new)] = new
        else:
            whole[start:start] = data.draw(st.binary(max_size=20))
    path = tmp_path / "a.ckpt"
    path.write_bytes(bytes(whole))
    outcome(["sample", "--ckpt_path", str(path), "--num", "2"], tmp_path)

"""Files from a stranger: nothing in them runs, nothing is written outside."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.words import reader


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    """A run that the test changes."""
    return shutil.copytree(small_run(), tmp_path / "runs" / "run")


def commands(run: Path) -> dict[str, list[str]]:
    ckpt = str(run / "checkpoints" / "last.ckpt")
    config = str(run / "config.yaml")
    resume = ["--runs_dir", str(run.parent), "--name", run.name, "--resume", "true"]
    return {
        "sample": ["sample", "--ckpt_path", ckpt],
        "validate": ["validate", "--config", config, "--ckpt_path", ckpt],
        "predict": ["predict", "--config", config, "--ckpt_path", ckpt, "--data.predict_path", "x"],
        "gradcheck": ["gradcheck", "--ckpt_path", ckpt],
        "resume": ["fit", "--config", config, *resume, "--trainer.max_steps", "99"],
    }


def poison_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Payload(mark)}))


@contextmanager
def changed(path: Path) -> Iterator[dict]:
    """The entries of a checkpoint, which are written back."""
    entries = torch.load(path, weights_only=True)
    yield entries
    torch.save(entries, path)


def poison_torch(path: Path, mark: Path) -> None:
    with changed(path) as entries:
        entries["callbacks"]["payload"] = Payload(mark)


def packed(path: Path, compression: int, pickled: bytes | None = None) -> None:
    """Writes a torch archive anew, perhaps with its pickle replaced."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, pickled if pickled and name.endswith(".pkl") else data)


def poison_archive(path: Path, mark: Path) -> None:
    packed(path, zipfile.ZIP_STORED, pickle.dumps(Payload(mark)))


@pytest.mark.parametrize(
    ("command", "poison"),
    [
        ("sample", poison_pickle),
        ("sample", poison_archive),
        *((command, poison_torch) for command in ("validate", "gradcheck", "resume")),
    ],
)
def test_a_pickle_in_a_checkpoint_does_not_run(run, tmp_path, capsys, command, poison):
    mark = tmp_path / "mark"
    poison(run / "checkpoints" / "last.ckpt", mark)
    assert main(commands(run)[command]) == 1
    assert not mark.exists()
    assert "is incomplete or damaged" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_class_named_in_a_checkpoint_is_not_imported(run, tmp_path, capsys):
    mark = tmp_path / "mark"
    with changed(run / "checkpoints" / "last.ckpt") as entries:
        entries["hyper_parameters"] |= {"_class_path": "os.mkdir", "path": str(mark)}
    for command in ("sample", "validate"):
        main(commands(run)[command])
    assert not mark.exists()


def weight(change):
    """Changes a parameter."""
    name = "model.net.embedding.weight"
    return lambda entries: entries["state_dict"].update({name: change(entries["state_dict"][name])})


def architecture(**new):
    return lambda entries: entries[checkpoint.KEY]["architecture"].update(new)


def described(**new):
    return lambda entries: entries[checkpoint.KEY].update(new)


# A number of four bytes is shown as a thousand gigabytes.
MANY = {"optimizer_states": [torch.zeros(1).expand(2**38)]}
NO_NETWORK = "no network that can be rebuilt"
ENTRIES = {  # how a stranger changes a checkpoint: what is said
    "one number for many": (lambda entries: entries.update(MANY), "damaged (ValueError)"),
    "NaN": (weight(lambda x: x.fill_(torch.nan)), "not finite; use an earlier"),
    "infinite": (weight(lambda x: x.fill_(-torch.inf)), "not finite"),
    "8 bits": (weight(lambda x: x.to(torch.float8_e5m2)), NO_NETWORK),
    "complex": (weight(lambda x: x.to(torch.complex64)), NO_NETWORK),
    "wide": (architecture(n_hidden=22_000), NO_NETWORK),
    "deep": (architecture(n_layer=10**9), NO_NETWORK),
    "a long window": (described(block_size=10**9), NO_NETWORK),
    "an escape sequence": (described(chars="\x1b[abc"), NO_NETWORK),
    "another way to read": (described(chars="abc\u202e"), NO_NETWORK),
    "no text": (described(chars=["a", "b"]), "describes no network"),
    "threads": (described(threads="two"), "describes no network"),
}


@pytest.mark.parametrize("change", ENTRIES)
def test_a_checkpoint_that_was_changed_is_refused_before_a_network_is_built(
    run, capsys, monkeypatch, change
):
    make, said = ENTRIES[change]
    with changed(run / "checkpoints" / "last.ckpt") as entries:
        make(entries)
    if "not finite" not in said:
        monkeypatch.delattr(checkpoint, "_blank")  # whatever calls it says NameError
    assert main(commands(run)["sample"]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert said in error
    assert "NameError" not in error


def test_an_archive_that_unpacks_to_more_than_it_is_long_is_not_unpacked(run, capsys):
    path = run / "checkpoints" / "last.ckpt"
    with changed(path) as entries:
        entries["zeros"] = torch.zeros(2**20)
    packed(path, zipfile.ZIP_DEFLATED)
    assert main(commands(run)["sample"]) == 1
    assert "damaged (BadZipFile)" in capsys.readouterr().err


def test_predict_does_not_believe_the_hyper_parameters_of_a_checkpoint(run, word_list, capsys):
    command = [*commands(run)["predict"][:-1], str(word_list)]
    assert main(command) == 0
    before = capsys.readouterr().out
    with changed(run / "checkpoints" / "last.ckpt") as entries:
        entries["hyper_parameters"] = {"n_layer": 10**9, "lr": "x"}
    assert main(command) == 0
    assert capsys.readouterr().out == before


@pytest.mark.parametrize("lacks", ["optimizer_states", "callbacks", "loops", "global_step"])
def test_what_cannot_be_continued_leaves_the_run_as_it_was(run, capsys, lacks):
    with changed(run / "checkpoints" / "last.ckpt") as entries:
        del entries[lacks]
    assert main(commands(run)["resume"]) == 1
    assert "no run to go on with" in capsys.readouterr().err
    assert (run / "summary.json").is_file()


def test_results_stay_where_a_checkpoint_cannot_be_restored(run):
    path = run / "checkpoints" / "best.ckpt"
    with changed(path) as entries:
        entries["optimizer_states"] = [{"state": {}, "param_groups": []}]
    kept = [run / "summary.json", run / "samples.txt", path.with_name("last.ckpt")]
    before = [one.read_bytes() for one in kept]
    resume = ["--resume", str(path), "--trainer.max_steps", "99"]
    assert main(["fit", "--config", str(run / "config.yaml"), *resume]) == 1
    assert [one.read_bytes() for one in kept] == before


CLASS = "{class_path: os.mkdir, init_args: {path: MARK}}"


@pytest.mark.parametrize(
    "document",
    [
        f"model: {{lr: {CLASS}}}",
        f"data: {{batch_size: {CLASS}}}",
        f"trainer: {{max_steps: {CLASS}}}",
        f"threads: {CLASS}",
        "data: {path: !!python/object/apply:os.mkdir ['MARK']}",
    ],
)
def test_a_configuration_that_would_build_an_object_is_bad_use(tmp_path, capsys, document):
    mark, path = tmp_path / "mark", tmp_path / "bad.yaml"
    path.write_text(document.replace("MARK", str(mark)))
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", str(path), "--runs_dir", str(tmp_path / "runs")])
    assert exit_.value.code == 2
    assert list(tmp_path.iterdir()) == [path]
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


LEVELS = [f"k{i}: &k{i} [{', '.join(9 * [f'*k{i - 1}'])}]" for i in range(1, 12)]
TOO_MUCH = {
    "anchors": "\n".join(["k0: &k0 [x, x]", *LEVELS]),
    "an anchor in itself": "data: &a {path: *a}",
    "deep": "data: " + 5000 * "[",
    "many": "\n".join(f"k{i}: 1" for i in range(9000)),
    "long": f"name: {60_000 * 'x'}",
}


@pytest.mark.parametrize("command", ["fit", "resume", "compare"])
@pytest.mark.parametrize("document", TOO_MUCH)
def test_a_configuration_has_an_end(run, capsys, document, command):
    path = run / "config.yaml"
    path.write_text(f"{path.read_text()}\n{TOO_MUCH[document]}\n")
    arguments = {
        "fit": ["fit", "--config", str(path), "--runs_dir", str(run.parent)],
        "resume": ["fit", "--resume", str(run)],
        "compare": ["compare", str(run)],
    }
    assert main(arguments[command]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert str(path.parent) in error
    assert "configuration is shorter" in error or "Circular" in error or "stands in line" in error


SUMMARIES = {
    "": ["["],
    "val_loss": ["x", [], 10**400],
    "wall_s": [None, "x", {}],
    "test_loss": ["x", []],
    "health": ["x", None, 1, {"nan": 1}],
    "data": [None, {}, {"sha256": []}],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, each in SUMMARIES.items() for v in each])
def test_a_summary_of_other_types_is_damaged(run, capsys, key, value):
    path = run / "summary.json"
    whole = json.dumps({**json.loads(path.read_text()), key: value})
    path.write_text(whole if key else 100_000 * "[")
    assert main(["compare", str(run)]) == 1
    assert f"{run} is damaged" in capsys.readouterr().err


def test_a_table_shows_what_would_steer_the_terminal(run, capsys):
    other = shutil.copytree(run, run.parent / "a\x1b[31m\u202e")
    config, summary = other / "config.yaml", other / "summary.json"
    config.write_text(config.read_text().replace("activation: tanh", 'activation: "\\e]0;x\\a"'))
    facts = json.loads(summary.read_text())
    summary.write_text(json.dumps({**facts, "health": {"\x9b2J": "update 1"}}))
    assert main(["compare", str(run.parent)]) == 0
    printed = capsys.readouterr().out
    assert not set("\x1b\x07\x9b\u202e") & set(printed)
    assert "a\\x1b[31m\\u202e" in printed
    assert "\\x1b]0;x\\x07" in printed
    assert "\\x9b2J" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--ckpt_path", "\x1b]0;x\x07\u202e"],
        ["sample", "--ckpt_path", "a", "--num", "\x1b]0;x\x07\u202e"],
        ["compare", "\x1b]0;x\x07\u202e"],
        ["\x1b]0;x\x07\u202e"],
    ],
)
def test_an_error_shows_what_would_steer_the_terminal(capsys, arguments):
    try:
        status = main(arguments)
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    error = capsys.readouterr().err.removesuffix("\n")
    assert error.isprintable()
    assert "\\x1b]0;x\\x07\\u202e" in error


def test_an_error_is_no_longer_than_a_screen(capsys):
    with pytest.raises(SystemExit):
        main(["sample", "--ckpt_path", "a", "--num", 100_000 * "x"])
    assert len(capsys.readouterr().err) < 5000


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("format", ["text", "csv"])
def test_words_do_not_steer_a_terminal_and_are_whole_in_a_pipe(ckpt, tmp_path, monkeypatch, format):
    (path := tmp_path / "words").write_text("ada\n\x1b]0;x\x07\u202e\n")
    for screen, shown in (
        (Terminal(), "\\x1b]0;x\\x07\\u202e"),
        (StringIO(), "\x1b]0;x\x07\u202e"),
    ):
        monkeypatch.setattr(sys, "stdout", screen)
        assert main(["score", "--ckpt_path", ckpt, "--file", str(path), "--format", format]) == 0
        assert shown in screen.getvalue()
        assert ("\x1b" in screen.getvalue()) is not screen.isatty()


@pytest.mark.parametrize("name", ["words", "/dev/zero"])
def test_a_list_has_an_end(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(reader, "MAX_BYTES", 1000)
    reader._piped.cache_clear()
    (tmp_path / "words").write_text(20 * "".join(f"em{c}a\n" for c in "abcdefghij"))
    path = tmp_path / name  # the second one is absolute
    arguments = ["fit", "--data.path", str(path), "--trainer.max_steps", "5"]
    status = main([*arguments, "--trainer.fast_dev_run", "1", "--data.batch_size", "4"])
    assert status == (name == "/dev/zero")  # of 1,000 bytes, and endless
    if status:
        assert "has more than 1,000 bytes; shuf -n 1000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["../out", "/tmp/out", "a/b", "..", "", "a\nb", "a\x1b[31m", "\u202e"]
)
def test_a_name_does_not_leave_the_runs_folder(word_list, tmp_path, capsys, name):
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
    arguments += ["--runs_dir", str(tmp_path / "runs"), "--trainer.max_steps", "5", "--name", name]
    assert main(arguments) == 1
    assert "plain folder name" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words.txt"]


@pytest.mark.parametrize(
    ("command", "onto"),
    [
        (["sample"], "checkpoints/last.ckpt"),
        (["export"], "checkpoints/last.ckpt"),
        (["score", "--file", "WORDS"], "WORDS"),
        (["predict", "--config", "RUN/config.yaml", "--data.predict_path", "WORDS"], "WORDS"),
    ],
)
def test_an_output_does_not_replace_what_is_read(run, word_list, capsys, command, onto):
    path = word_list if onto == "WORDS" else run / onto
    (link := run / "link").symlink_to(path)
    arguments = [part.replace("WORDS", str(word_list)).replace("RUN", str(run)) for part in command]
    arguments += ["--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--output", str(link)]
    before = path.read_bytes()
    assert main(arguments) == 1
    assert "would replace what --" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_link_to_itself_is_no_folder(ckpt, tmp_path, capsys):
    (link := tmp_path / "link").symlink_to(link)
    assert main(["sample", "--ckpt_path", ckpt, "--output", str(link / "names")]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: [Errno")


@pytest.mark.parametrize("name", ["../../../../out", "a/../../../../out", "OUT/out"])
def test_a_checkpoint_of_a_configuration_does_not_leave_its_folder(
    word_list, tmp_path, capsys, name
):
    name = name.replace("OUT", str(tmp_path))
    callback = f"{{class_path: ModelCheckpoint, init_args: {{filename: {name}}}}}"
    (config := tmp_path / "c.yaml").write_text(f"trainer: {{callbacks: [{callback}]}}")
    arguments = ["fit", "--config", str(config), "--data.path", str(word_list)]
    arguments += ["--runs_dir", str(tmp_path / "runs"), "--trainer.max_steps", "5"]
    assert main([*arguments, "--data.batch_size", "16", "--trainer.accelerator", "cpu"]) == 1
    assert "name the folder as its dirpath" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "words.txt"]

"""Files from a stranger: nothing in them runs, nothing is written outside."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from lit_makemore.cli import main


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


def poison_torch(path: Path, mark: Path) -> None:
    entries = torch.load(path, weights_only=True)
    entries["callbacks"]["payload"] = Payload(mark)
    torch.save(entries, path)


def poison_archive(path: Path, mark: Path) -> None:
    """A torch archive with its pickle replaced."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, pickle.dumps(Payload(mark)) if name.endswith(".pkl") else data)


@pytest.mark.parametrize(
    ("command", "poison"),
    [
        ("sample", poison_pickle),
        ("sample", poison_archive),
        *((command, poison_torch) for command in ("sample", "validate", "gradcheck", "resume")),
    ],
)
def test_a_pickle_in_a_checkpoint_does_not_run(run, tmp_path, capsys, command, poison):
    mark = tmp_path / "mark"
    poison(run / "checkpoints" / "last.ckpt", mark)
    assert main(commands(run)[command]) == 1
    assert not mark.exists()
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ")
    assert "is incomplete or damaged" in error[-1]


def test_a_class_named_in_a_checkpoint_is_not_imported(run, tmp_path, capsys):
    path, mark = run / "checkpoints" / "last.ckpt", tmp_path / "mark"
    entries = torch.load(path, weights_only=True)
    entries["hyper_parameters"]["_class_path"] = "os.mkdir"
    entries["hyper_parameters"]["path"] = str(mark)
    torch.save(entries, path)
    for command in ("sample", "validate"):
        main(commands(run)[command])
    assert not mark.exists()


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


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", "..", ""])
def test_a_name_does_not_leave_the_runs_folder(word_list, tmp_path, capsys, name):
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
    arguments += ["--runs_dir", str(tmp_path / "runs"), "--trainer.max_steps", "5", "--name", name]
    assert main(arguments) == 1
    assert "plain folder name" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words.txt"]

"""The files that ship are found from any folder, in a checkout and in an installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import find_packages

from lit_makemore import files
from lit_makemore.cli import main
from lit_makemore.commands.output import program
from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_file_of_the_working_folder_comes_first(elsewhere):
    name = "data/names_small.txt"
    assert files.find(name) == ROOT / name
    (elsewhere / "data").mkdir()
    (elsewhere / name).write_text("mine")
    assert files.find(name) == Path(name)


@pytest.mark.parametrize("name", ["data/none.txt", "README.md", "/data/names_small.txt"])
def test_other_names_stay_as_they_are(elsewhere, name):
    assert files.find(name) == Path(name)


@pytest.mark.slow
def test_the_quick_start_and_its_run_work_from_another_folder(elsewhere, tmp_path, monkeypatch):
    arguments = ["--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]
    assert main(["fit", "--config=configs/quickstart.yaml", *arguments]) == 0
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    run = elsewhere / "runs" / "quickstart"
    given = ["--config", str(run / "config.yaml"), "--trainer.accelerator", "cpu"]
    assert main(["validate", *given, "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]) == 0
    assert main(["gradcheck", "--config", "configs/quickstart.yaml"]) == 0
    assert main(["gradcheck"]) == 0


@pytest.mark.parametrize(
    "missing",
    [
        ["--config", "configs/none.yaml"],
        ["--data.path", "data/none.txt"],
        ["--data.targets", "teacher", "--data.teachers", "[configs/none.yaml]"],
    ],
    ids=" ".join,
)
def test_a_missing_file_is_named_whole(elsewhere, word_list, capsys, missing):
    arguments = ["fit", "--data.path", str(word_list), *missing, "--trainer.max_steps", "2"]
    with pytest.raises(SystemExit):  # as the shell gets it, from the parser or from us
        raise SystemExit(main([*arguments, "--trainer.accelerator", "cpu"]))
    name = missing[-1].strip("[]")
    assert str(elsewhere / name) in capsys.readouterr().err.splitlines()[-1]


def test_the_teachers_that_ship_are_found(elsewhere, word_list, capsys):
    arguments = ["fit", "--data.path", str(word_list), "--trainer.max_steps", "2"]
    arguments += ["--data.targets", "teacher", "--trainer.devices", "1"]
    arguments += ["--data.teachers", "[configs/teachers/window_3.yaml, configs/none.yaml]"]
    assert main([*arguments, "--trainer.accelerator", "cpu"]) == 1
    assert "configs/none.yaml" in capsys.readouterr().err  # the first one was found


@pytest.mark.parametrize(
    ("started", "shown"),
    [
        ("train.py", "python train.py"),
        ("/x/lit_makemore/__main__.py", "python -m lit_makemore"),
        ("/usr/bin/lit_makemore", "lit_makemore"),
    ],
)
def test_help_shows_the_command_that_was_typed(monkeypatch, capsys, started, shown):
    monkeypatch.setattr(sys, "argv", [started])
    assert program() == shown
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {shown} ")
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {shown} fit ")


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_the_help_of_a_command_is_short(capsys, command):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert not exit_.value.code
    assert len(capsys.readouterr().out.splitlines()) < 60


def test_the_package_is_the_command():
    command = [sys.executable, "-m", "lit_makemore", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no command 'nonsense'" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")
def test_every_package_is_installed():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = {"lit_makemore.configs", "lit_makemore.data"}
    assert {*tool["packages"]} == {*find_packages(str(ROOT), include=["lit_makemore*"])} | files


@pytest.mark.slow(minutes=1)
def test_an_installation_is_whole_and_works_from_any_folder(elsewhere, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    for name in listed.splitlines():  # a copy: setuptools writes build/ where the source lies
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(install, check=True)
    for folder in ("configs", "data"):
        ours = {path for path in listed.splitlines() if path.startswith(f"{folder}/")}
        there = {
            str(path.relative_to(target / "lit_makemore"))
            for path in (target / "lit_makemore" / folder).rglob("*")
            if path.is_file()
        }
        assert there == ours - {"data/README.md"}

    def run(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(target)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(sys.executable, "-c", "import lit_makemore; print(lit_makemore.__file__)")
    assert where.startswith(str(target))
    script = str(target / "bin" / "lit_makemore")
    assert "usage: lit_makemore <command>" in run(script, "--help")
    options = ["--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]
    native = ["--model.engine", "native"]  # its source travels too
    run(script, "fit", "--config", "configs/quickstart.yaml", *options, *native)
    several = ["--trainer.devices", "2", "--model.engine", "auto"]
    several += ["--model.count_mixture", "false"]
    run(script, "fit", "--config", "runs/quickstart/config.yaml", *several, *options)
    best = ["--ckpt_path", "runs/quickstart/checkpoints/best.ckpt"]
    run(sys.executable, "-m", "lit_makemore", "sample", *best)
    run(script, "export", *best)  # so do the parts of its page
    assert "litMakemore.names" in (elsewhere / "best.html").read_text(encoding="utf-8")

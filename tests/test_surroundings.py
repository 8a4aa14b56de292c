"""The quick start, shortened, where it is started in another way than usual."""

import errno
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
import yaml
from tensorboard.summary.writer import event_file_writer

from lit_makemore import NamesDataModule, files
from lit_makemore.cli import main
from lit_makemore.commands.output import RANKS
from lit_makemore.commands.parsing import duration
from lit_makemore.diagnostics import words as invented
from lit_makemore.runs import exact_resume, tables
from tests.conftest import ROOT, WORDS

SHORT = {
    "data": {"batch_size": 16},
    "model": {"n_layer": 1, "n_hidden": 8},
    "trainer": {"max_steps": 20, "accelerator": "cpu", "enable_progress_bar": False},
    "diagnostics": {"enabled": False},
    "threads": 1,
}
NO_USER = """
import os, pwd, runpy, sys
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture
def arguments(tmp_path, word_list):
    """The options of the quick start, shortened, on 30 words."""
    (tmp_path / "short.yaml").write_text(yaml.dump(SHORT))
    found = ["fit", "--config", "configs/quickstart.yaml", "--config", f"{tmp_path}/short.yaml"]
    return [*found, "--data.path", str(word_list), "--runs_dir", f"{tmp_path}/runs", "--name", "a"]


def summary(folder) -> dict:
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture
def refused(arguments, tmp_path, capsys):
    """Starts it in this process, with more options; what stands in its one line."""

    def refused(*more: str) -> str:
        try:
            status = main([*arguments, *more])
        except SystemExit as stopped:  # of the parser
            status = stopped.code
        assert status in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert "error: " in line
        assert not (tmp_path / "runs").exists()
        return line

    return refused


INLINE = "module://matplotlib_inline.backend_inline"
# what is set (None: unset), more options, what stderr says
RIGHT = {
    "a backend that is not there": ({"MPLBACKEND": "module://none.backend"}, (), ""),
    "a backend of a notebook": ({"MPLBACKEND": INLINE}, (), ""),
    "a backend that nobody knows": ({"MPLBACKEND": "none"}, (), ""),
    "half a quotation mark": ({"CXX": 'g++ "-O2'}, (), "the variable CXX is no command"),
    "a compiler that is empty": ({"CXX": "''"}, (), "cannot be started"),
    "a size left by a launcher": ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, (), ""),
    "the rank of the first": ({"RANK": "0", "LOCAL_RANK": "0"}, (), ""),
    "a wrong home": ({"HOME": "/none", "XDG_CACHE_HOME": ""}, (), "nothing can be stored"),
    "a blank in a path": ({}, ("--runs_dir", "{tmp}/my runs"), ""),
    "no home and no user": ({"HOME": None, "XDG_CACHE_HOME": None}, (NO_USER,), "no home folder"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_run_reaches_the_same_in_other_surroundings(name, arguments, tmp_path, capfd):
    changes, more, said = RIGHT[name]
    if name == "a wrong home" and os.access("/", os.W_OK):
        changes = {**changes, "HOME": "/dev/null"}
    environment = {**os.environ, **changes}
    environment = {key: value for key, value in environment.items() if value is not None}
    program = ["-c", NO_USER] if NO_USER in more else ["train.py"]
    more = [option.format(tmp=tmp_path) for option in more if option != NO_USER]
    done = subprocess.run(
        [sys.executable, *program, *arguments, *more, "--trainer.enable_progress_bar", "true"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(said) == 1 or not said
    runs = tmp_path / ("my runs" if more else "runs")
    (command,) = [line for line in done.stdout.splitlines() if "tensorboard --logdir" in line]
    assert shlex.split(command)[-1] == str(runs)
    assert main([*arguments, "--name", "usual"]) == 0
    reached, usual = (summary(run)["final"] for run in (runs / "a", tmp_path / "runs" / "usual"))
    assert reached == pytest.approx(usual, abs=1e-4)  # native or by autograd
    assert (summary(runs / "a")["engine"] == "autograd") == bool(said)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "1"}, "unset RANK"),
        ({"LOCAL_RANK": "1"}, "unset LOCAL_RANK"),
        ({"SLURM_PROCID": "1"}, "unset SLURM_PROCID"),
        ({"RANK": "x"}, "RANK=x in the environment is no number"),
        ({"RANK": ""}, "RANK= in the environment is no number"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "2 processes were started"),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, "2 processes were started"),
        ({"JSM_NAMESPACE_SIZE": "2"}, "2 processes were started"),
        ({"MV2_COMM_WORLD_SIZE": "x"}, "unset MV2_COMM_WORLD_SIZE"),
        ({"MASTER_PORT": "x"}, "MASTER_PORT=x in the environment is no number"),
        ({"SLURM_NTASKS": "x"}, "unset SLURM_NTASKS"),
        ({"SLURM_STEP_NUM_TASKS": "x", "SLURM_NTASKS": "1"}, "unset SLURM_STEP_NUM_TASKS"),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "x"}, "unset WORLD_SIZE"),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "0"}, "2 processes were started"),
    ],
)
def test_what_a_launcher_has_left_is_named(refused, monkeypatch, environment, message):
    for name in RANKS:  # Lightning sets some for its processes
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert message in refused("--trainer.devices", "1")


ONE_TASK = {"JOB_ID": "5", "JOB_NAME": "zsh", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}
ONE_TASK |= {"NODEID": "0"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "2 processes were started, and each would start 1 more"),
        ({"PMI_SIZE": "4"}, "4 processes were started, and each would start 1 more"),
        ({"NODE_RANK": "1"}, "NODE_RANK or GROUP_RANK in the environment is 1"),
        ({"GROUP_RANK": "1"}, "NODE_RANK or GROUP_RANK in the environment is 1"),
        ({"NODE_RANK": "x"}, "unset NODE_RANK"),
        ({f"SLURM_{name}": value for name, value in ONE_TASK.items()}, "no others are started"),
    ],
)
def test_several_processes_are_not_started_where_others_were(
    refused, monkeypatch, environment, message
):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    whole = ["--model.count_mixture", "false", "--trainer.accelerator", "cpu"]
    assert message in refused("--trainer.devices", "2", *whole)


@pytest.mark.parametrize("size", [None, "1", "3"])
def test_a_rank_of_a_run_before_is_named_instead_of_waiting_for_the_others(
    refused, monkeypatch, size
):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("MASTER_PORT", "12345")
    if size:
        monkeypatch.setenv("WORLD_SIZE", size)
    said = refused("--trainer.devices", "2", "--trainer.accelerator", "cpu")
    assert "unset LOCAL_RANK, or set WORLD_SIZE=2" in said


@pytest.mark.slow
def test_torchrun_starts_as_many_processes_as_are_trained_on(arguments, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py"]
    whole = ["--model.count_mixture", "false", "--trainer.accelerator", "cpu"]
    done = subprocess.run([*command, *arguments, *whole], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "runs" / "a")["steps"] == 20


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--runs_dir", "{tmp}/gone", "File exists: '{tmp}/gone'; choose another place"),
        ("--runs_dir", "{tmp}/words.txt", "words.txt/a'; choose another place"),
        ("--runs_dir", "{tmp}/words.txt/x", "words.txt/x/a'; choose another place"),
        ("--name", "x" * 256, "must be a plain folder name"),
        ("--name", "a\udcff", "must be a plain folder name"),
    ],
)
def test_a_place_for_runs_that_cannot_be(refused, tmp_path, option, value, message):
    (tmp_path / "gone").symlink_to(tmp_path / "none")
    assert message.format(tmp=tmp_path) in refused(option, value.format(tmp=tmp_path))


def test_no_free_number_is_looked_for_where_no_run_can_be(arguments, tmp_path, capsys):
    (tmp_path / "runs").symlink_to(tmp_path / "none")
    assert main(arguments[:-2]) == 1
    assert "File exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EFBIG, "make room"),
        (errno.EROFS, "a place that is yours"),
        (errno.EACCES, "a place that is yours"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOLCK, "a disk with locks"),
    ],
)
def test_what_the_system_refuses_has_a_remedy(refused, monkeypatch, number, remedy):
    """And leaves no folder, although TensorBoard had begun to write there."""

    def fails(path, text):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(exact_resume, "write_text", fails)
    assert remedy in refused()


def test_a_thread_that_cannot_be_started_leaves_no_folder(refused, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(event_file_writer._AsyncWriterThread, "start", fails)
    assert "ulimit -u" in refused()


PATHS = ["--runs_dir", "--data.path", "--resume", "--data.teachers", "--config"]
ADDRESSES = ["s3://b/runs", "gs://b/runs", "https://b/runs", "~unknown_user/x"]


@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_path_of_this_machine_is_refused(refused, option, address):
    more = [option, address]
    if option == "--data.teachers":
        more = ["--data.targets", "teacher", option, f'["{address}"]']
    assert f"error: {address}" in refused(*more)


@pytest.mark.parametrize(
    "command", ["sample --ckpt_path", "score a --ckpt_path", "sweep --config", "compare"]
)
def test_other_commands_refuse_it_too(capsys, command):
    assert main([*command.split(), "s3://b/x"]) == 1
    assert capsys.readouterr().err.startswith("error: s3://b/x is no path of this machine")


def test_the_home_folder_is_meant_in_every_option(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "home.yaml").write_text("runs_dir: ~/myruns\ndata:\n  path: ~/words.txt\n")
    del arguments[-6:-2]
    assert main([*arguments, "--config", "~/home.yaml"]) == 0
    ckpt = "~/myruns/a/checkpoints/last.ckpt"
    assert main(["fit", "--resume", "~/myruns/a"]) == 0
    score = ["score", "--ckpt_path", ckpt, "--file", "~/words.txt", "--output", "~/scores.csv"]
    assert main([*score, "--format", "csv"]) == 0
    assert main(["sample", "--ckpt_path", ckpt, "--num", "1"]) == 0
    assert main(["compare", "~/myruns/a"]) == 0
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 31
    assert NamesDataModule("~/words.txt").corpus.n_words == 30
    assert files.local("~/x") == f"{tmp_path}/x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no options"),
        ("# nothing\n", "holds no options"),
        ("- a\n", "holds no options"),
        ("hello", "holds no options"),
        ("\udcff\udcfe", "'utf-8' codec"),
        ("threads: 1\ndata:\n  seed: 1\nthreads:\n", "threads stands in line 1 and again"),
        ("trainer:\n  max_steps: 40\n  max_steps: 40\n", "in line 2 and again in line 3"),
        ("trainer: {max_steps: 40, max_steps: 30}\n", "in line 1 and again in line 1"),
        ("trainer:\n  callbacks:\n  - a: A\n    a: B\n", "in line 3 and again in line 4"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_what_it_seems(refused, tmp_path, capsys, text, message):
    path = tmp_path / "strange.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    for option in (["--config", str(path)], [f"--config={path}"]):
        assert refused(*option).startswith(f"error: {path}")
        assert message in refused(*option)
    assert main(["sweep", "--config", str(path)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/dev/stdin", "-", "<("])
def test_words_come_through_a_pipe(arguments, tmp_path, path):
    given = f"<(cat {tmp_path}/words.txt)" if path == "<(" else path
    command = shlex.join([sys.executable, "train.py"])
    fit = f"{command} {shlex.join(arguments)} --data.path {given}"
    ckpt = tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt"
    score = f"{command} score --ckpt_path {ckpt} --format csv --file {given}"
    predict = f"{command} predict --ckpt_path {ckpt} --data.predict_path {given}"
    for line in (fit, score, predict):
        with (tmp_path / "words.txt").open() as words:
            piped = subprocess.run(["cat"], stdin=words, capture_output=True).stdout
        done = subprocess.run(["bash", "-c", line], cwd=ROOT, input=piped, capture_output=True)
        assert done.returncode == 0, done.stderr
        if line != fit:
            assert len(done.stdout.splitlines()) == 1 + len(WORDS)
    assert summary(tmp_path / "runs" / "a")["data"]["words"] == len(WORDS)


@pytest.mark.slow
def test_a_terminal_that_is_closed_loses_no_run(arguments, tmp_path):
    """What is written to it afterwards is an error."""
    ours, theirs = pty.openpty()
    endless = ["--trainer.max_steps", "100000000", "--trainer.enable_progress_bar", "true"]
    run = subprocess.Popen(
        ["setsid", "-c", "-w", sys.executable, "train.py", *arguments, *endless],
        cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"step" not in said:
        said += os.read(ours, 1000)
    os.close(ours)
    assert run.wait(60) == 128 + signal.SIGHUP, said
    assert main(["fit", "--resume", f"{tmp_path}/runs/a", "--trainer.fast_dev_run", "true"]) == 0
    assert (tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("nohup", [True, False])
def test_nohup_keeps_a_run_going(nohup):
    code = "from lit_makemore.runs.signals import *; print('SIGHUP' in [s.name for s in ASKING])"
    way = signal.SIG_IGN if nohup else signal.SIG_DFL  # the tests may run under nohup, too
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, way),
    )
    assert done.stdout.split() == [str(not nohup).encode()]


def test_a_stopped_run_goes_on_by_its_name_alone(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    runs = ["--runs_dir", f"{tmp_path}/runs"]
    for more in (["true", "--name", "a", *runs], [f"{tmp_path}/runs/a"]):
        assert main(["fit", "--resume", *more]) == 0
        assert "already finished (update 20)" in capsys.readouterr().err
    for more in (["auto", "--name", "none", *runs], ["true"], [f"{tmp_path}/runs/none"]):
        assert main(["fit", "--resume", *more]) == 1
        assert f"--resume {more[0]} finds no run by itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("configs/deep.yaml", "--config configs/deep.yaml"),
        ("--model.schedule foo", "must be one of 'step', 'one_cycle'. Got value: foo"),
        ("--model.n_hidden foo", "must be a whole number"),
        ("--threads foo", "must be a whole number or null"),
        ("--data.teachers 3", "must be a list, as [1, 2]. Got value: 3"),
        ("--published 3", "must be a mapping, as {a: 1}"),
        ("--published.val x", "must be a number. Got value: x"),
        ("--model.count_mixture foo", "must be true or false"),
        ("--model.lr foo", "must be a number"),
    ],
)
def test_the_parser_speaks_plainly(refused, option, message):
    line = refused(*option.split())
    assert message in line
    assert "class" not in line
    assert "typing" not in line


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:00:01", 1), ("0:00:01", 1), ("1 day, 0:00:00", 86400), ("02:00:00:00.5", 172800.5)],
)
def test_times_are_read_in_both_forms(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)
    assert duration(str(duration(text))) == duration(text)  # as config.yaml has it


@pytest.mark.parametrize("text", ["1s", "0:00:01 hours", "00:01", "1:00:00:00:00", "-1:00:00"])
def test_another_form_of_time_is_refused(refused, text):
    callback = ["--trainer.callbacks+=ModelCheckpoint"]
    line = refused(*callback, f"--trainer.callbacks.train_time_interval={text}")
    assert "a time is days:hours:minutes:seconds" in line


def test_names_do_not_break_tables(monkeypatch):
    assert tables.markdown([["a|b"], ["c"]]).splitlines()[0] == r"| a\|b |"
    names = ["a|b", "*c*", "<d>"]
    monkeypatch.setattr(invented, "samples", lambda *a: type("Drawn", (), {"names": names}))
    monkeypatch.setattr(invented, "score", lambda *a: torch.zeros(3))
    monkeypatch.setattr(invented, "whereabouts", lambda *a: "new")
    data = type("Data", (), {"vocab": None, "block_size": 3, "splits": {}})
    rows = invented.sample_table(None, data).splitlines()[2:]
    assert all(row.count("|") == 4 for row in rows)
    assert not {"*", "<"} & set("".join(rows))

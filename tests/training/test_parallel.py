"""Several processes: they learn what one would, and end together."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from lit_makemore import model as checkpoint
from tests.conftest import ROOT, WORDS
from tests.parallel import BARE, fit, run, signal_one_by_one
from tests.same_run import curves, differences

SHORT = ["--trainer.max_steps", "60", "--trainer.val_check_interval", "20"]
SHORT += ["--trainer.log_every_n_steps", "5"]
LONG = ["--trainer.max_steps", "1000000", "--trainer.val_check_interval", "50"]
pytestmark = pytest.mark.slow


RESUMED = ["--trainer.max_steps", "1500", "--trainer.val_check_interval", "150"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two processes that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    done = run(fit(folder, folder / "words.txt", "run", 2, *RESUMED))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("draw names: ") == done.stdout.count("web page: ") == 1
    return folder / "run"


@pytest.mark.parametrize(
    "more",
    [
        ["--data.sampling", "shuffled", "--trainer.gradient_clip_val", "0.1"],
        ["--model.optimizer", "adamw", "--model.lr", "0.01", "--data.targets", "expected"],
    ],
    ids=["sgd", "adamw"],
)
def test_two_processes_equal_one_update_for_update(tmp_path, word_list, more):
    """Without Batch Normalization; the curves are those of every fifth update."""
    arguments = [*BARE, *SHORT, *more, "--trainer.precision", "64-true"]
    arguments += ["--diagnostics.enabled", "false"]
    for processes in (1, 2):
        done = run(fit(tmp_path, word_list, str(processes), processes, *arguments))
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / n / "checkpoints" / "last.ckpt") for n in "12")
    for name, parameter in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], parameter, rtol=0, atol=1e-10)
    one, two = (curves(tmp_path / n) for n in "12")
    assert one.keys() == two.keys()
    for tag, points in one.items():
        assert [step for step, _ in two[tag]] == [step for step, _ in points]
        expected = [value for _, value in points]
        if isinstance(expected[0], float):
            expected = pytest.approx(expected, rel=2e-7)  # TensorBoard keeps 32 bits
        assert [value for _, value in two[tag]] == expected, tag
    one, two = (json.loads((tmp_path / n / "summary.json").read_text()) for n in "12")
    assert two["val_loss"] == pytest.approx(one["val_loss"], abs=1e-10)


def test_evaluation_is_exact_on_any_number_of_processes(whole):
    for command, processes in (("validate", "2"), ("test", "3")):
        arguments = [sys.executable, "train.py", command, "--config", whole / "config.yaml"]
        arguments += ["--ckpt_path", whole / "checkpoints" / "best.ckpt"]
        one = run([*arguments, "--trainer.devices", "1", "--trainer.strategy", "auto"]).stdout
        several = run([*arguments, "--trainer.devices", processes])
        assert several.stdout == one
        assert "loss" in one


def processes_of(folder) -> list[int]:
    """The numbers of the processes of a fit in this folder."""
    listed = subprocess.run(["pgrep", "-f", f"runs_dir {folder}"], capture_output=True, text=True)
    return list(map(int, listed.stdout.split()))


@pytest.fixture
def training(tmp_path, word_list):
    """Starts a fit of two processes, and returns it with their numbers, by rank, once it trains."""
    started = []

    def start(name: str, *more: str):
        command = fit(tmp_path, word_list, name, 2, *more)
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        started.append(process)
        for line in process.stderr:
            if line.startswith("step "):
                break
        others = [pid for pid in processes_of(tmp_path) if pid != process.pid]
        return process, [process.pid, *others]

    yield start
    for process in started:
        process.stderr.close()
    signal_one_by_one(processes_of(tmp_path), signal.SIGKILL)


def ended(folder) -> bool:
    end = time.monotonic() + 600
    while processes_of(folder) and time.monotonic() < end:
        time.sleep(0.2)
    return not processes_of(folder)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_kill_of_one_ends_all(tmp_path, training, rank):
    process, pids = training("run", *LONG)
    assert len(pids) == 2
    os.kill(pids[rank], signal.SIGKILL)
    process.communicate(timeout=1200)
    assert process.returncode != 0
    assert ended(tmp_path)


# As NCCL: Lightning closes the connection at exit, and that waits for all.
FAILING = """
import atexit, os, sys, time
from lightning.fabric.utilities import distributed
from torch import distributed as connection
close = connection.destroy_process_group
connection.destroy_process_group = lambda group=None: close(group) if group else time.sleep(3600)
atexit.register(distributed._destroy_dist_connection)
from lightning.pytorch import Callback
from lit_makemore.commands import fit
from lit_makemore.runs.stopping import StopOnNaN
from lit_makemore.cli import main
class Broken(StopOnNaN):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 100 and trainer.global_rank == {rank}:
            raise ValueError("broken")
fit.StopOnNaN = Broken
sys.exit(main())
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_the_failure_of_one_ends_all(tmp_path, word_list, rank):
    script = tmp_path / "failing.py"
    script.write_text(FAILING.format(rank=rank))
    command = fit(tmp_path, word_list, "run", 2, *LONG)
    command[1] = str(script)
    done = run(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode != 0
    assert ended(tmp_path)
    said = [line for line in done.stderr.splitlines() if line.endswith("error: broken")]
    assert said == ["rank 1: error: broken" if rank else "error: broken"]


CONNECTED = """
import sys
from torch import distributed
from lit_makemore.cli import main
status = main()
said = "connected" if distributed.is_initialized() else "closed"
sys.stderr.write(f"{said}\\n")  # at once: the other process writes, too
sys.exit(status)
"""


@pytest.mark.parametrize("command", ["fit", "validate", "predict"])
def test_no_process_ends_with_an_open_connection(tmp_path, word_list, whole, command):
    """A thread that waits for Python at its end would abort the process, at random."""
    script = tmp_path / "connected.py"
    script.write_text(CONNECTED)
    arguments = fit(tmp_path, word_list, "run", 2, *SHORT)
    if command != "fit":
        what = ["--config", str(whole / "config.yaml")]
        if command == "predict":
            what = ["--data.predict_path", str(word_list), "--trainer.accelerator", "cpu"]
            what += ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
        best = str(whole / "checkpoints" / "best.ckpt")
        arguments = [sys.executable, "", command, *what, "--ckpt_path", best]
    arguments[1] = str(script)
    done = run(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert (said.count("closed"), said.count("connected")) == (2, 0), done.stderr


@pytest.mark.parametrize(
    ("ranks", "signum", "status"),
    [
        ([1], signal.SIGTERM, 143),
        ([1, 0], signal.SIGTERM, 143),
        ([0, 1], signal.SIGINT, 130),
        ([1], signal.SIGUSR1, 138),
    ],
)
def test_all_stop_after_the_same_update_and_go_on(
    tmp_path, word_list, training, whole, ranks, signum, status
):
    process, pids = training("parts", *RESUMED)
    signal_one_by_one((pids[rank] for rank in ranks), signum)
    error = process.communicate(timeout=1200)[1]
    assert process.returncode == status, error
    assert f"stopped by {signum.name} at update" in error
    assert ended(tmp_path)
    assert checkpoint.read(tmp_path / "parts" / "checkpoints" / "last.ckpt")["global_step"] >= 150
    done = run(fit(tmp_path, word_list, "parts", 2, *RESUMED, "--resume", "true"))
    assert done.returncode == 0, done.stderr
    assert differences(tmp_path / "parts", whole) == []


def test_dropout_goes_on_with_the_same_bits_on_every_process(tmp_path, word_list):
    more = ["--model.dropout", "0.3", "--trainer.val_check_interval", "20"]
    for name, steps in (("whole", "80"), ("parts", "40")):
        command = fit(tmp_path, word_list, name, 2, *more, "--trainer.max_steps", steps)
        assert run(command).returncode == 0
    command = fit(tmp_path, word_list, "parts", 2, *more, "--trainer.max_steps", "80")
    done = run([*command, "--resume", "true"])
    assert done.returncode == 0, done.stderr
    states = checkpoint.read(tmp_path / "parts" / "checkpoints" / "last.ckpt")["callbacks"]
    first, second = states["ExactResume"]["rng"][0]
    assert not torch.equal(first, second)
    assert differences(tmp_path / "parts", tmp_path / "whole") == []


def test_torchrun_starts_it_again_and_it_goes_on(tmp_path, word_list, whole):
    python, *arguments = fit(tmp_path, word_list, "parts", 2, *RESUMED, "--resume", "auto")
    torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    torchrun += ["--max-restarts", "2", *arguments]
    env = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    process = subprocess.Popen(torchrun, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if line.startswith("step "):
                break
        workers = [pid for pid in processes_of(tmp_path) if pid != process.pid]
        assert len(workers) == 2
        os.kill(workers[1], signal.SIGKILL)
        error = process.communicate(timeout=1200)[1]
    finally:
        process.kill()
    assert process.returncode == 0, error
    assert f"resuming {tmp_path / 'parts'} at update" in error
    assert differences(tmp_path / "parts", whole) == []


def test_what_takes_one_process_is_refused_on_two(tmp_path, word_list):
    (tmp_path / "teacher.yaml").write_text("trainer: {max_steps: 5}\n")
    taught = ["--data.targets", "teacher", "--data.teachers", f"[{tmp_path / 'teacher.yaml'}]"]
    for more, message in (
        (["--model.count_mixture", "true"], "works on one process only"),
        (taught, "several processes cannot train teachers"),
    ):
        done = run(fit(tmp_path, word_list, "run", 2, *SHORT, *more))
        assert done.returncode != 0
        assert f"error: {message}" in done.stderr.replace("--model.count_mixture true ", "")
        assert not (tmp_path / "run").exists()

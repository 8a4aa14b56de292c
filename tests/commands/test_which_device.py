"""Which device a run takes, on machines that pretend to have GPUs."""

import logging

import pytest
import torch
import yaml

from lit_makemore.commands import devices, sweep
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.training.module import LitMLP
from lit_makemore.training.native import build
from tests.conftest import ROOT
from tests.test_configs import CLUSTER, CONFIGS, SWEEPS

COUNTS = [0, 1, 8]
# Shipped configurations whose parameters times batch size are above the bound.
LARGE = {"best", "best_small", "names_distilled", "names_mixture", "ten_seconds"}
LARGE |= {"teachers/window_3", "teachers/window_3_more_dropout", "teachers/window_6"}
LARGE |= {"teachers/window_6_counts", "teachers/window_8", "teachers/window_8_counts"}
LARGE |= {"teachers/window_8_counts_dropout", "words"}
EAGER = {"lecture/lr_sweep"}  # its callback must see every update
BARE = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


@pytest.fixture
def gpus(monkeypatch):
    """Lets torch say that the machine has so many GPUs."""
    monkeypatch.setattr(build, "library", lambda: None)  # as where there is a compiler

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)

    return pretend


def parsed(command: str, *arguments: str) -> MakemoreCLI:
    with quiet_lightning():
        return MakemoreCLI(command, list(arguments))


def taken(cli: MakemoreCLI, *model) -> tuple[str, int]:
    """The kind of device of a run, and how many processes it has."""
    with quiet_lightning():
        cli.build(*model, callbacks=[], **BARE)
    return cli.trainer.strategy.root_device.type, cli.trainer.world_size


def name_of(path) -> str:
    return path.relative_to(ROOT / "configs").with_suffix("").as_posix()


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> str:
    """A list with all letters, as that of the configurations: they set the size of a network."""
    path = tmp_path_factory.mktemp("words") / "words.txt"
    lines = (ROOT / "data" / "names_small.txt").read_text().split()[:300]
    path.write_text("\n".join([*lines, "abcdefghijklm", "nopqrstuvwxyz"]) + "\n")
    return str(path)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_a_configuration_takes_one_device(gpus, words, path):
    cli = parsed("fit", "--config", str(path), "--data.path", words)
    for count in COUNTS:
        gpus(count)
        on_gpu = count > 0 and name_of(path) in LARGE | EAGER
        assert taken(cli) == ("cuda" if on_gpu else "cpu", 1)


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize(("batch_size", "device"), [("32", "cpu"), ("10000", "cuda")])
def test_an_evaluation_goes_by_size_alone(gpus, words, command, batch_size, device):
    size = ["--data.path", words, "--data.batch_size", batch_size, "--ckpt_path", "none"]
    cli = parsed(command, *size, "--model.engine", "autograd")
    given = [LitMLP("abc", 3)] if command == "predict" else []
    for count in COUNTS:
        gpus(count)
        assert taken(cli, *given) == (device if count else "cpu", 1)


@pytest.mark.parametrize("path", sorted(SWEEPS), ids=name_of)
def test_a_sweep_that_ships_can_be_trained_on_one_device(gpus, words, path, monkeypatch):
    """`check` refuses more."""
    said = path.read_text().split("\n\n")[0]
    assert f"python train.py sweep --config {path.relative_to(ROOT)}" in said
    searched = sweep.described_in(path)
    searched.options["data.path"] = words
    monkeypatch.setattr(sweep, "check_fit", lambda *of: None)
    for count in (0, 2):
        gpus(count)
        with quiet_lightning():
            sweep.check(searched)


@pytest.mark.parametrize(
    ("more", "device", "processes"),
    [
        ("--trainer.accelerator gpu", "cuda", 1),
        ("--trainer.accelerator cpu --data.batch_size 10000", "cpu", 1),
        ("--trainer.accelerator gpu --trainer.devices 2", "cuda", 2),
        ("--trainer.devices 2", "cuda", 2),
        ("--trainer.devices -1", "cuda", 2),
        ("--trainer.devices [1]", "cuda", 1),
        ("--trainer.accelerator cpu --trainer.devices 2", "cpu", 2),
        ("--trainer.devices 1", "cpu", 1),
        ("--data.batch_size 10000", "cuda", 1),
        ("--data.batch_size 10000 --model.engine native", "cpu", 1),
        ("--model.engine autograd", "cuda", 1),
        ("--model.engine manual", "cuda", 1),
        ("--trainer.strategy ddp", "cuda", 1),
        ("--trainer.strategy fsdp", "cuda", 1),
        ("--trainer.precision bf16-mixed", "cuda", 1),
        ("--trainer.precision 16-mixed", "cuda", 1),
        ("--trainer.accumulate_grad_batches 2", "cuda", 1),
        ("--trainer.callbacks+=LearningRateFinder", "cuda", 1),
    ],
)
def test_what_the_user_says_is_obeyed_and_elsewhere_native_steps_count(
    gpus, words, more, device, processes
):
    usual = ["--data.path", words, "--trainer.max_steps", "9", "--data.batch_size", "64"]
    gpus(2)
    assert taken(parsed("fit", *usual, *more.split())) == (device, processes)


def test_without_a_compiler_there_is_nothing_for_the_cpu(gpus, words, monkeypatch):
    def missing() -> None:
        raise build.BuildError("no compiler")

    monkeypatch.setattr(build, "library", missing)
    gpus(1)
    assert taken(parsed("fit", "--data.path", words, "--trainer.max_steps", "9")) == ("cuda", 1)


@pytest.mark.parametrize("path", CLUSTER, ids=lambda path: path.stem)
def test_a_cluster_configuration_is_obeyed(gpus, words, path, monkeypatch):
    trainer = yaml.safe_load(path.read_text())["trainer"]
    gpus(8)
    quick = ["--config", "configs/reference/deep.yaml", "--config", str(path)]
    processes = trainer["devices"] * trainer.get("num_nodes", 1)
    assert taken(parsed("fit", *quick, "--data.path", words)) == ("cuda", processes)


def test_torchrun_says_how_many(monkeypatch):
    assert devices.number("auto") == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert devices.number("auto") == 1  # left in a shell
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert [devices.number(given) for given in ("auto", 2)] == [4, 2]


def test_a_line_says_so_where_there_is_a_gpu(gpus, words, caplog):
    cli = parsed("fit", "--data.path", words, "--trainer.max_steps", "9")
    caplog.set_level(logging.INFO, "lit_makemore")
    for count, lines in ((0, 0), (1, 1)):
        gpus(count)
        assert taken(cli) == ("cpu", 1)
        assert caplog.text.count("--trainer.accelerator gpu") == lines

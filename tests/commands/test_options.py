"""Options that make no run: one line, status 1, nothing written."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from lit_makemore.cli import main
from lit_makemore.commands.options import trainer_rows
from lit_makemore.training.option_conflicts import refuse


@pytest.fixture
def error(tmp_path, word_list, capsys):
    """The line that `fit` with more options says, having failed and left nothing behind."""

    def error(*more: str, status: int = 1) -> str:
        arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
        arguments += ["--trainer.accelerator", "cpu", "--trainer.max_steps", "5"]
        try:
            code = main([*arguments, "--runs_dir", str(tmp_path / "runs"), *more])
        except SystemExit as exit_:
            code = exit_.code
        assert code == status
        assert not (tmp_path / "runs").exists()
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        return line

    return error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--trainer.max_steps -1", "set --trainer.max_steps"),
        ("--trainer.log_every_n_steps 0", "log_every_n_steps must be at least 1, not 0"),
        ("--trainer.val_check_interval -5", "val_check_interval must be at least 1"),
        (f"--data.batch_size {2**63}", f"--data.batch_size {2**63} does not fit into 64 bits"),
        (f"--data.split_seed {-(2**70)}", "does not fit into 64 bits"),
        pytest.param(
            "--trainer.accelerator cuda",
            "not available",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        ("--threads 0", "--threads must be 1 to 1024, not 0"),
        ("--trainer.precision 16-mixed", "on this CPU use bf16-mixed"),
        ("--trainer.strategy ddp_spawn --trainer.devices 2", "use ddp"),
        ("--model.n_layer 0", "n_layer must be at least 1, not 0"),
        ("--data.path nowhere.txt", "/nowhere.txt; name a file with one word per line"),
        ("--data.batch_size 1", "at least 2 examples on each process"),
        ("--data.batch_size 0", "batch_size must be at least 1"),
        ("--trainer.sync_batchnorm true", "sync_batchnorm true needs GPUs"),
        (
            "--trainer.sync_batchnorm true --model.bn_variance biased",
            "needs --model.bn_variance torch",
        ),
        ("--model.engine manual --model.dropout 0.1", "no dropout"),
        ("--model.engine manual --data.targets kneser_ney", "--data.targets sampled"),
        ("--model.count_mixture true --trainer.limit_val_batches 0", "val words"),
        ("--data.targets teacher", "needs --data.teachers"),
        ("--data.targets teacher --data.teachers [no.ckpt]", "no checkpoint at no.ckpt"),
        ("--data.counts_share 1.5", "a share in [0, 1]"),
        ("--published.val 2", "published takes the losses train, val, test, and steps"),
        ("--published.vall 2 --published.val 2 --published.steps 5", "published takes the losses"),
    ],
)
def test_what_makes_no_run(error, more, message):
    assert message in error(*more.split())


@pytest.mark.parametrize("more", ["--model.lr fast", "--seed_everything true", "--config no.yaml"])
def test_what_the_parser_refuses(error, more):
    assert more.split()[-1 if "no.yaml" in more else 0].lstrip("-") in error(
        *more.split(), status=2
    )


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["fit", "--model.n_layers", "3"], "did you mean --model.n_layer?"),
        (["fit", "--modle.lr", "3"], "did you mean --model.lr?"),
        (["sample", "--ckpt_path", "FILE", "--nums", "3"], "did you mean --num?"),
        (["gradcheck", "--batchsize", "3"], "did you mean --batch_size?"),
        (["validate", "--unheard_of", "3"], "see --help"),
    ],
    ids=lambda value: value[0] + " " + value[-2] if isinstance(value, list) else "",
)
def test_an_option_that_does_not_exist_suggests_one(capsys, arguments, remedy):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: unrecognized arguments: {arguments[-2]} 3; ")
    assert line.endswith(remedy)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("model: null", "model is a mapping of its options, not None"),
        ("model: {init: null}", "--model.init must not be null"),
        ("diagnostics: {bands: false}", "--diagnostics.bands is a mapping of initial_loss"),
    ],
)
def test_what_the_parser_lets_pass(error, tmp_path, document, message):
    config = tmp_path / "config.yaml"
    config.write_text(document)
    assert message in error("--config", str(config))


def refuse_processes(world_size: int, val_check_interval: int | str = 10) -> None:
    """Judges the Trainer of so many processes."""
    usual = {"precision": "32-true", "val_check_interval": val_check_interval}
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(**usual, strategy=strategy, world_size=world_size, callbacks=[])
    given = SimpleNamespace(**usual, strategy="auto", sync_batchnorm=False)
    refuse(trainer_rows("fit", trainer, given))


def test_processes_whose_clocks_differ_validate_by_updates():
    with pytest.raises(ValueError, match="must be a number"):
        refuse_processes(2, "00:00:10:00")


@pytest.mark.parametrize(
    ("store", "restarts", "world_size", "refused"),
    [("True", 3, 2, True), ("False", 3, 2, False), ("True", 0, 2, False), ("True", 3, 1, False)],
)
def test_torchrun_must_not_keep_the_addresses_of_failed_processes(
    monkeypatch, store, restarts, world_size, refused
):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", store)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", str(restarts))
    remedy = pytest.raises(ValueError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1")
    with remedy if refused else nullcontext():
        refuse_processes(world_size)

"""docs/lightning.md: which callbacks, loggers and Trainer flags of Lightning work with `fit`.

    python -m tests.benchmarks.lightning_parts

Each is switched on in a fit of 20 updates on 30 words, by autograd and with native steps.
"works" means that the fit ends with status 0. A refusal is one line.
Install psutil, rich, wandb and mlflow first: the parts that need them are tried with them.
"""

import contextlib
import io
import re
import sys
import tempfile
from inspect import signature
from pathlib import Path

from lightning.pytorch import Trainer, callbacks, loggers

from lit_makemore.cli import main
from tests.conftest import ROOT, WORDS

PAGE = ROOT / "docs" / "lightning.md"
NEEDED = {  # arguments that have no default, or none that works here
    "EarlyStopping": ["monitor=val/loss"],
    "GradientAccumulationScheduler": ["scheduling={0: 2}"],
    "ModelPruning": ["pruning_fn=l1_unstructured"],
    "OnExceptionCheckpoint": ["dirpath=DIR"],
    "StochasticWeightAveraging": ["swa_lrs=0.05"],
    "ThroughputMonitor": ["batch_size_fn=builtins.len"],
    "Timer": ["duration=00:01:00:00"],
    "MLFlowLogger": ["tracking_uri=sqlite:///DIR.db"],
    "WandbLogger": ["offline=true"],
}
BASES = ["BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint", "ProgressBar"]
FLAGS = {
    "accelerator": "cpu",
    "strategy": "auto",
    "devices": "1",
    "num_nodes": "1",
    "precision": "bf16-mixed",
    "logger": "false",
    "fast_dev_run": "2",
    "max_epochs": "2",
    "min_epochs": "1",
    "max_steps": "10",
    "min_steps": "5",
    "max_time": "00:01:00:00",
    "limit_train_batches": "5",
    "limit_val_batches": "1",
    "overfit_batches": "3",
    "val_check_interval": "7",
    "check_val_every_n_epoch": "1",
    "num_sanity_val_steps": "2",
    "log_every_n_steps": "3",
    "enable_checkpointing": "false",
    "enable_progress_bar": "false",
    "enable_model_summary": "true",
    "accumulate_grad_batches": "2",
    "gradient_clip_val": "0.5",
    "gradient_clip_algorithm": "value",
    "deterministic": "true",
    "benchmark": "true",
    "inference_mode": "false",
    "profiler": "simple",
    "detect_anomaly": "true",
    "barebones": "true",
    "plugins": "TorchCheckpointIO",
    "sync_batchnorm": "true",
    "reload_dataloaders_every_n_epochs": "1",
    "default_root_dir": "DIR",
    "model_registry": "names",
}
NO_EFFECT = {
    "callbacks": "the rows above",
    "limit_test_batches": "of the command `test`",
    "limit_predict_batches": "of the command `predict`",
    "use_distributed_sampler": "has no effect: our loaders give each process its share",
    "enable_autolog_hparams": "has no effect: the run logs its hyper-parameters itself",
}


def fit(folder: Path, engine: str, *more: str) -> str:
    """ "works", or the line that refuses."""
    usual = f"--data.path {folder / 'words.txt'} --data.batch_size 16 --model.n_hidden 8 "
    usual += f"--model.n_layer 1 --model.engine {engine} --threads 1 --trainer.max_steps 20 "
    usual += f"--runs_dir {folder / 'runs'} --trainer.log_every_n_steps 5"
    options = [option.replace("DIR", str(folder / "place")) for option in more]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["fit", *usual.split(), *options])
        except SystemExit as exit_:
            status = exit_.code
    if status == 0:
        return "works"
    line = err.getvalue().strip().splitlines()[-1].removeprefix("error: ")
    return "refused: " + re.sub(r" at 0x\w+", "", line).replace("|", "\\|")


def table(folder: Path) -> str:
    rows = ["| part | steps by autograd | native steps |", "| --- | --- | --- |"]

    def add(name: str, *options: str) -> None:
        found = [fit(folder, engine, *options) for engine in ("autograd", "native")]
        same = found[0] == found[1] != "works"
        rows.append(f"| `{name}` | {found[0]} | {'the same' if same else found[1]} |")
        print(rows[-1], file=sys.stderr)

    for name in sorted({*callbacks.__all__} - {*BASES}):
        options = [f"--trainer.callbacks.{argument}" for argument in NEEDED.get(name, [])]
        add(name, f"--trainer.callbacks+=lightning.pytorch.callbacks.{name}", *options)
    for name in sorted({*loggers.__all__} - {"Logger"}):
        options = [f"--trainer.logger.{argument}" for argument in NEEDED.get(name, [])]
        add(name, f"--trainer.logger+=lightning.pytorch.loggers.{name}", *options)
    for name, value in FLAGS.items():
        add(f"--trainer.{name} {value}", f"--trainer.{name}={value}")
    rows += [f"| `--trainer.{name}` | {why} | |" for name, why in NO_EFFECT.items()]
    return "\n".join(rows)


def parts() -> set[str]:
    """The names of all callbacks, loggers and flags, as this page should have them."""
    flags = {f"--trainer.{name}" for name in signature(Trainer).parameters}
    return {*callbacks.__all__, *loggers.__all__, *flags}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "words.txt").write_text("\n".join(WORDS) + "\n")
        found = table(Path(temporary))
    bases = ", ".join(f"`{name}`" for name in [*BASES, "Logger"])
    PAGE.write_text(
        "# Lightning's callbacks, loggers and Trainer flags\n\n"
        "Each was switched on in a fit of 20 updates, by\n"
        "`python -m tests.benchmarks.lightning_parts`, where psutil, rich, wandb and mlflow were\n"
        "installed. What does not work is refused in one line. Loggers and callbacks write into\n"
        "the run folder, unless they are given a place.\n\n"
        "WandbLogger had `--trainer.logger.offline true`; `wandb sync` uploads such a run.\n"
        "MLFlowLogger had `--trainer.logger.tracking_uri sqlite:///FILE.db`; without it MLflow\n"
        "writes into mlflow.db in the run folder. A resumed run goes on in the same version, run\n"
        "or file of each logger. What W&B and MLflow have got after the checkpoint stays there,\n"
        "and comes once more.\n\n"
        "LitMLP and NamesDataModule work in a script of yours too, with Lightning's Trainer as\n"
        "it comes: its progress bar and its loggers get train/loss, and validate and test return\n"
        "their figures.\n\n"
        f"{found}\n\nLeft out are base classes: {bases}.\n",
        encoding="utf-8",
    )

"""docs/lightning.md: which callbacks and Trainer flags of Lightning work with `fit`.

    python -m tests.lightning_parts

Each is switched on in a fit of 20 updates on 30 words, with eager and with native steps.
"works" means that the fit ends with status 0. A refusal is one line.
"""

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

from lightning.pytorch import callbacks

from lit_makemore.cli import main
from tests.conftest import ROOT, WORDS

PAGE = ROOT / "docs" / "lightning.md"
NEEDED = {  # arguments without a default
    "DeviceStatsMonitor": [],
    "EarlyStopping": ["monitor=val/loss"],
    "GradientAccumulationScheduler": ["scheduling={0: 2}"],
    "StochasticWeightAveraging": ["swa_lrs=0.05"],
    "Timer": ["duration=00:01:00:00"],
    "ModelPruning": ["pruning_fn=l1_unstructured"],
    "BasePredictionWriter": None,  # a base class
    "BaseFinetuning": None,
    "BackboneFinetuning": [],
    "Callback": [],
    "Checkpoint": None,
    "ProgressBar": None,
    "LambdaCallback": [],
    "OnExceptionCheckpoint": ["dirpath=DIR"],
    "SpikeDetection": [],
    "ThroughputMonitor": None,  # needs a function
    "WeightAveraging": [],
    "RichProgressBar": None,  # needs rich
    "RichModelSummary": None,
}
FLAGS = {
    "accelerator": "cpu",
    "strategy": "auto",
    "devices": "1",
    "num_nodes": "1",
    "precision": "bf16-mixed",
    "fast_dev_run": "2",
    "max_epochs": "2",
    "min_epochs": "1",
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
    "sync_batchnorm": "true",
    "reload_dataloaders_every_n_epochs": "1",
    "default_root_dir": "DIR",
    "logger": "false",
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
    line = re.sub(r"[<(\[].*", "…", line)  # objects, whose text differs each time
    return "refused: " + line.replace("|", "\\|")[:120]


def table(folder: Path) -> str:
    rows = ["| part | eager steps | native steps |", "| --- | --- | --- |"]

    def add(name: str, *options: str) -> None:
        found = [fit(folder, engine, *options) for engine in ("eager", "native")]
        rows.append(f"| `{name}` | {found[0]} | {found[1]} |")
        print(rows[-1], file=sys.stderr)

    for name in sorted(callbacks.__all__):
        needed = NEEDED.get(name, [])
        if needed is None:
            continue
        options = [f"--trainer.callbacks.{argument}" for argument in needed]
        add(name, f"--trainer.callbacks+=lightning.pytorch.callbacks.{name}", *options)
    for name, value in FLAGS.items():
        add(f"--trainer.{name} {value}", f"--trainer.{name}={value}")
    return "\n".join(rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "words.txt").write_text("\n".join(WORDS) + "\n")
        found = table(Path(temporary))
    PAGE.write_text(
        "# Lightning's callbacks and Trainer flags\n\n"
        "Each was switched on in a fit of 20 updates, by `python -m tests.lightning_parts`.\n"
        "What does not work is refused in one line. Base classes, and parts that need another\n"
        "package or a function, are left out.\n\n" + found + "\n",
        encoding="utf-8",
    )

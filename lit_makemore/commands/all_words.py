"""Once more, on all words: a run inside a finished run."""

import json
from pathlib import Path

from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import say
from lit_makemore.commands.teachers import Train, train_inside
from lit_makemore.files import write_text
from lit_makemore.model import KEY, PREFIX, load, read, write
from lit_makemore.training.datamodule import NamesDataModule


def train_on_all_words(folder: Path, train: Train) -> Path:
    """Trains the network of a finished run once more, on all words; returns its checkpoint.

    What val words have chosen stays: how many updates are best, and the mixture but for its counts.
    """
    best = folder / "checkpoints" / "best.ckpt"
    if not best.exists():  # nothing was validated
        best = best.with_name("last.ckpt")
    entries, run = read(best), folder / "all_words"
    options = (  # the mixture trains nothing; it is added below
        f"--trainer.max_steps {entries['global_step']} --data.splits [1,0,0] "
        "--trainer.limit_val_batches 0 --trainer.logger false --model.count_mixture false "
        "--trainer.max_epochs -1 --trainer.max_time null --diagnostics.enabled false"
    ).split()
    say(f"once more, on all words, until update {entries['global_step']:,}")
    one = MakemoreCLI("fit", ["--config", str(folder / "config.yaml"), *options])
    train_inside(one, run, folder, train)
    model = load(run / "checkpoints" / "last.ckpt")
    model.mixture = load(best).mixture
    if model.mixture is not None:
        chosen = model.mixture.counts
        data = NamesDataModule(**{**one.config.data, "block_size": chosen.order})
        data.setup("test")
        model.mixture.counts = data.best_counts
        model.mixture.counts.discount = chosen.discount
    state = {f"{PREFIX}{name}": value for name, value in model.state_dict().items()}
    ours = {KEY: model.described(entries[KEY]["engine"]), "state_dict": state}
    path = best.with_name("all_words.ckpt")
    write({**entries, **ours, "optimizer_states": None}, path)  # no run can go on from there
    summary = json.loads((folder / "summary.json").read_text("utf-8")) | {"trained_on": "all"}
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return path

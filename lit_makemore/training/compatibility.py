"""Which options of a network and of its training go together; the others are refused in one line.

docs/beyond.md has the same as a table; stepping.py says what the fused step goes with.
"""

from typing import Any

MANUAL = (
    "--model.backward manual goes with sgd, sampled targets, no dropout, one process, "
    "32- and 64-true"
)


def check_model(options: Any) -> None:
    """Looks at LitMLP's options by themselves.

    Raises:
        ValueError: two of them do not go together, or one makes no sense; says what to do.
    """
    if not options.lr > 0:
        raise ValueError(f"lr must be positive, not {options.lr}")
    if not options.lr_gamma > 0:
        raise ValueError(f"lr_gamma must be positive, not {options.lr_gamma}")
    if options.weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, but is {options.weight_decay}")
    if not 0 <= options.warmup < 1:
        raise ValueError(f"warmup is a share of the run in [0, 1), not {options.warmup}")
    clip_norm = options.clip_norm
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive, not {clip_norm}; null switches clipping off")
    if options.weight_decay and options.optimizer == "sgd":
        raise ValueError("weight_decay is adamw's; choose --model.optimizer adamw or leave it 0")
    if options.backward == "manual" and options.optimizer != "sgd":
        raise ValueError(f"{MANUAL}; choose --model.optimizer sgd or --model.backward autograd")
    if options.backward == "manual" and options.dropout:
        raise ValueError(f"{MANUAL}; choose --model.dropout 0 or --model.backward autograd")


def check_fit(options: Any, trainer: Any) -> None:
    """Looks at LitMLP's options beside the Trainer and the data of a fit. Raises as above."""
    data, processes = trainer.datamodule, trainer.world_size
    if options.count_mixture:
        if processes > 1:
            raise ValueError("--model.count_mixture true goes with one process")
        if trainer.limit_val_batches == 0 or not hasattr(data, "count_model"):
            raise ValueError(
                "--model.count_mixture true needs the val words of NamesDataModule, to choose "
                "its weight on; leave --trainer.limit_val_batches"
            )
    if trainer._accelerator_connector._layer_sync is not None:
        if options.bn_variance != "torch":
            raise ValueError(
                "--trainer.sync_batchnorm true normalises by torch's variance; "
                f"it goes with --model.bn_variance torch, not {options.bn_variance}"
            )
        if trainer.strategy.root_device.type == "cpu":
            raise ValueError(
                "--trainer.sync_batchnorm true needs GPUs; on CPUs every process normalises "
                "by its own share of the minibatch"
            )
    rows = getattr(data, "batch_size", 2 * processes) // processes
    if rows < 2 and (options.batch_norm or options.logits_batch_norm):
        raise ValueError(
            "Batch Normalization needs at least 2 examples a process; raise --data.batch_size"
        )
    if options.backward == "manual":
        if trainer.precision not in ("32-true", "64-true"):
            raise ValueError(f"{MANUAL}, not with --trainer.precision {trainer.precision}")
        if processes > 1 or trainer.accumulate_grad_batches > 1:
            raise ValueError(f"{MANUAL}, not with several processes or accumulated gradients")
        if getattr(data, "targets", "sampled") != "sampled":
            raise ValueError(f"{MANUAL}, not with --data.targets {data.targets}")

"""The Trainer's way to checkpoint files."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from lit_makemore import checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Names a checkpoint only when it is whole and on the disk; runs no code when loading one.

    Lightning's own writes to the system's temporary folder, which may be another file system, and
    does not wait for the disk.
    """

    def save_checkpoint(
        self, checkpoint_: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        checkpoint.write(checkpoint_, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: Any = True
    ) -> dict[str, Any]:
        return checkpoint.read(path)

"""The numbers of every configuration, to the last bit: python -m tests.fingerprint [CONFIG …]

A change that should move no number prints the same lines before and after it. Each configuration
makes a few hundred updates on one thread; teachers make fewer. One line is one run: its losses,
and a hash of its parameters and buffers. Needs data/names.txt.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import yaml

STEPS, TEACHER_STEPS = 300, 40
ROOT = Path(__file__).parent.parent


def main(configs: list[str]) -> None:
    found = [
        p
        for p in sorted(ROOT.glob("configs/**/*.yaml"))
        if p.parent.name not in ("cluster", "sweep")
    ]
    for config in configs or [str(path.relative_to(ROOT)) for path in found]:
        with TemporaryDirectory() as folder:
            print(line(config, Path(folder)), flush=True)


def line(config: str, folder: Path) -> str:
    """Trains on a configuration; returns its name, its losses and the hash of its network."""
    options = {"trainer.max_steps": STEPS, "threads": 1, "name": "run", "runs_dir": folder}
    given = yaml.safe_load((ROOT / config).read_text())
    teachers = given.get("data", {}).get("teachers", [])
    for teacher in set(teachers):
        shorter = yaml.safe_load((ROOT / teacher).read_text())
        shorter.setdefault("trainer", {})["max_steps"] = TEACHER_STEPS
        (folder / Path(teacher).name).write_text(yaml.safe_dump(shorter))
    if teachers:
        options["data.teachers"] = [str(folder / Path(teacher).name) for teacher in teachers]
    arguments = [f"--{key}={value}" for key, value in options.items()]
    command = [sys.executable, "train.py", "fit", "--config", config, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return f"{config}: {done.stderr.strip().splitlines()[-1]}"
    summary = json.loads((folder / "run" / "summary.json").read_text())
    losses = " ".join(repr(summary[f"{split}_loss"]) for split in ("train", "val", "test"))
    state = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    digest = hashlib.sha256()
    for name, tensor in sorted(state["state_dict"].items()):
        name = name.removeprefix("model.")
        if name.startswith("net."):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return f"{config} {losses} {digest.hexdigest()[:16]}"


if __name__ == "__main__":
    main(sys.argv[1:])

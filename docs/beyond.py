"""How much each part of a recipe improves the loss, and a picture of losses against time.

python docs/beyond.py table     trains a shorter best_small.yaml with one part changed, with five
                                seeds, and writes the table of beyond.md
python docs/beyond.py picture   draws beyond.png: the notebook's recipe, names.yaml, best.yaml
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.runs.report import cpu_name, git_commit

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "beyond.md"
SEEDS = range(42, 47)
AT_ONCE = 2  # runs of a thread each
SHORTER = (  # best_small.yaml with one teacher: else the table would take four hours
    "--data.teachers=[configs/teachers/window_8.yaml]",
    "--data.counts_share=0.3",
    "--trainer.max_steps=6000",
)
TEACHER = "--data.teachers=[{}]"  # in place of the configuration: a checkpoint of it
NONE = ("--data.teachers=[]",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "targets without counts": (TEACHER, "--data.counts_share=0"),
    "teacher without dropout": ("--data.teachers=[configs/teachers/window_8.yaml]",),
    "no teacher, targets of the count model": (*NONE, "--data.targets=kneser_ney"),
    "no teacher, expected targets": (*NONE, "--data.targets=expected"),
}


def fit(config: str, folder: Path, name: str, *more: str) -> dict:
    command = [sys.executable, "train.py", "fit", "--config", config, "--name", name]
    command += ["--runs_dir", str(folder), *more]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads((folder / name / "summary.json").read_text())


def variant(name: str, more: tuple[str, ...], seed: int, folder: Path) -> float:
    """The val loss of one run. All variants use the teacher of the first one."""
    checkpoint = folder / f"nothing-{seed}" / "teachers" / "1" / "checkpoints" / "last.ckpt"
    arguments = [option.format(checkpoint) for option in more]
    if name == "teacher without dropout":
        config = (ROOT / "configs" / "teachers" / "window_8.yaml").read_text()
        changed = folder / "window_8.yaml"
        changed.write_text(config.replace("dropout: 0.3", "dropout: 0.0"))
        arguments = [f"--data.teachers=[{changed}]"]
    run = f"{name}-{seed}"
    arguments += [f"--seed_everything={seed}", "--threads=1"]
    found = fit("configs/best_small.yaml", folder, run, *SHORTER, *arguments)
    print(f"{run}: {found['val_loss']:.4f}", file=sys.stderr)
    return found["val_loss"]


def table() -> None:
    lines = ["| what is changed | val, 5 seeds | difference |", "|---|---|---|"]
    base = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, more in VARIANTS.items():
            with ThreadPoolExecutor(AT_ONCE) as pool:
                runs = [pool.submit(variant, name, more, seed, Path(folder)) for seed in SEEDS]
            losses = [run.result() for run in runs]
            base = base or mean(losses)
            worth = f"{mean(losses) - base:+.4f}" if more else ""
            lines.append(f"| {name} | {mean(losses):.4f} ± {stdev(losses):.4f} | {worth} |")
    text = "\n".join(lines) + f"\n\nOn {cpu_name()}, commit {git_commit()}.\n"
    print(text)
    replaced = f"<!-- docs/beyond.py table -->\n{text}<!-- end -->"
    pattern = r"<!-- docs/beyond.py table -->\n.*?<!-- end -->"
    PAGE.write_text(re.sub(pattern, lambda _: replaced, PAGE.read_text(), flags=re.DOTALL))


def curve(config: str, every: int, folder: Path) -> list[tuple[float, float, int]]:
    """Seconds since the command began, val loss, and the step of each validation."""
    begun, name = time.time(), Path(config).stem
    fit(config, folder, name, f"--trainer.val_check_interval={every}")
    events = EventAccumulator(str(folder / name), size_guidance={"scalars": 0}).Reload()
    return [(e.wall_time - begun, e.value, e.step) for e in events.Scalars("1_losses/val")]


def picture() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.notebook", "deep", "3000"]
    speed = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    with tempfile.TemporaryDirectory() as name:
        deep = curve("configs/reference/deep.yaml", 1000, Path(name))
        names = curve("configs/names.yaml", 20, Path(name))
        best = curve("configs/best.yaml", 200, Path(name))
    figure, axes = plt.subplots(figsize=(8, 4.5))
    # The same updates as reference/deep.yaml, at the speed of the notebook's own loop.
    notebook = [(step / speed, loss, step) for _, loss, step in deep]
    for label, points in {
        f"the notebook's recipe, at its loop's {speed:.0f} steps/s": notebook,
        "names.yaml, from the command on": names,
        "best.yaml, from the command on: its teachers come first": best,
    }.items():
        seconds, losses, _ = zip(*points, strict=True)
        axes.plot(seconds, losses, ".-", markersize=4, linewidth=1, label=label)
    for loss, name in ((2.0608, "Kneser–Ney 4-gram"), (1.9836, "Kneser–Ney 6-gram")):
        axes.axhline(loss, color="grey", linewidth=0.8, linestyle=":")
        axes.text(1.05, loss + 0.002, name, fontsize=8, color="grey")
    axes.set(xscale="log", xlim=(1, None), ylim=(1.88, 2.35))
    axes.set(xlabel="seconds", ylabel="val loss, nats per character")
    axes.legend(fontsize=9)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "beyond.png", dpi=110)


if __name__ == "__main__":
    parts = {"table": table, "picture": picture}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    parts[sys.argv[1]]()

"""Kills real `fit` processes at random moments and resumes them until they are finished.

    python -m tests.benchmarks.reliability [--kills N] [--seed N] [--output docs/reliability.md]

Each run has one thread. It is killed, resumed and finished, and then compared, bit for bit, with
a run that was never stopped: parameters, BatchNorm buffers, optimizer state, the minibatches that
would follow, samples, and the curves and texts in TensorBoard. After that, a run is stopped by a
full disk; this needs the right to mount a small tmpfs. With --output, the table goes into a
Markdown file.
"""

import argparse
import datetime
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from lit_makemore import model as checkpoint
from lit_makemore.runs.report import git_commit
from tests.benchmarks.report import write_page
from tests.conftest import ROOT
from tests.same_run import differences

STEPS = 12_000
CONFIG = ["--config", "configs/quickstart.yaml", "--trainer.val_check_interval", "500"]
CONFIG += ["--threads", "1"]


def command(folder: Path, name: str, *more: str) -> list[str]:
    where = ["--runs_dir", str(folder), "--name", name]
    return [sys.executable, "train.py", "fit", *CONFIG, *where, *more]


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def run(arguments: list[str]) -> None:
    subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)


def killed_until_done(
    folder: Path, kills: int, engine: str, chance: random.Random, steps: int
) -> dict:
    """Runs killed so many times, half by SIGKILL and half by SIGTERM; figures about them."""
    way = ("--model.engine", engine, "--trainer.max_steps", str(steps))
    begun = time.monotonic()
    run(command(folder, f"whole-{engine}", *way))
    seconds = time.monotonic() - begun
    ends: Counter[str] = Counter()
    names, done, worst = [], 0, None
    while done < kills:
        name = f"killed-{engine}-{len(names)}"
        while True:
            begun, fresh = time.monotonic(), not (folder / name).exists()
            process = start(command(folder, name, *way, "--resume", "auto"))
            if done < kills:
                signum = (signal.SIGKILL, signal.SIGTERM)[done % 2]
                try:
                    process.wait(chance.uniform(0.3, 1.0) * seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(signum)
            error = process.communicate()[1].decode()
            status = process.returncode
            ends[str(status)] += 1
            done += status != 0  # a run that had as good as ended by then was not killed
            if status not in (0, 143, -signal.SIGKILL, -signal.SIGTERM):
                worst = error.strip().splitlines()[-1]
            if status == 0:
                if fresh and done < kills:  # quicker than the kill: the next one comes sooner
                    seconds = min(seconds, time.monotonic() - begun)
                break
            assert worst is None, worst
        names.append(name)
    apart = [
        line for name in names for line in differences(folder / name, folder / f"whole-{engine}")
    ]
    return {"engine": engine, "kills": done, "runs": len(names), "ends": dict(ends), "apart": apart}


@contextmanager
def small_disk(folder: Path, megabytes: int):
    """A file system of its own, this small; OSError where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(folder: Path, steps: int) -> dict:
    """A run whose disk fills up; then there is room again, and it goes on.

    It is compared with the run of `killed_until_done` that was not killed.
    """
    disk = folder / "disk"
    with small_disk(disk, 8):
        way = ("--model.engine", "autograd", "--trainer.max_steps", str(steps))
        arguments = command(disk, "run", *way, "--resume", "auto")
        process = start(arguments)
        last = disk / "run" / "checkpoints" / "last.ckpt"
        while not (last.exists() and checkpoint.read(last)["global_step"] >= 1000):
            assert process.poll() is None
            time.sleep(0.2)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        error = process.communicate()[1].decode()
        status = process.returncode
        whole = checkpoint.read(last)["global_step"]
        ballast.unlink()
        run(arguments)
        apart = differences(disk / "run", folder / "whole-autograd")
    line = error.strip().splitlines()[-1] if error.strip() else ""
    return {"status": status, "error": line, "kept": whole, "apart": apart}


def report(rows: list[dict], disk: dict | str, seconds: float) -> str:
    lines = ["| engine | kills | runs resumed to the end | exit statuses | differences |"]
    lines += ["|---|---|---|---|---|"]
    for r in rows:
        ends = ", ".join(f"{count} × {status}" for status, count in sorted(r["ends"].items()))
        apart = "; ".join(r["apart"]) or "none"
        lines.append(f"| {r['engine']} | {r['kills']} | {r['runs']} | {ends} | {apart} |")
    if isinstance(disk, str):
        lines += ["", f"Full disk: not tried ({disk})."]
    else:
        apart = "; ".join(disk["apart"]) or "none"
        lines += [
            "",
            f"Full disk: exit status {disk['status']}, `{disk['error']}`; the checkpoint of update "
            f"{disk['kept']:,} was complete; differences after the run continued with free space: "
            f"{apart}.",
        ]
    where = f"{datetime.date.today()}, commit {git_commit()}, {seconds / 60:.0f} minutes"
    return "\n".join([*lines, "", f"{where}."]) + "\n"


def measure(kills: int, seed: int, steps: int = STEPS) -> tuple[list[dict], dict | str]:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        share = {"autograd": kills // 2, "native": kills - kills // 2}
        rows = [killed_until_done(folder, n, engine, chance, steps) for engine, n in share.items()]
        try:
            disk: dict | str = full_disk(folder, steps)
        except OSError as error:
            disk = str(error)
    return rows, disk


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reliability")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", help="Markdown file to write")
    arguments = parser.parse_args()
    begun = time.monotonic()
    rows, disk = measure(arguments.kills, arguments.seed)
    text = report(rows, disk, time.monotonic() - begun)
    print(text)
    if arguments.output:
        made_by = "python -m tests.benchmarks.reliability"
        write_page(arguments.output, "Reliability", made_by, __doc__, text)
    apart = [line for r in rows for line in r["apart"]]
    sys.exit(bool(apart or (isinstance(disk, dict) and disk["apart"])))


if __name__ == "__main__":
    main()

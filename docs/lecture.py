"""Runs the commands of docs/lecture.md, and writes what they print and draw into the page.

    python docs/lecture.py
    python docs/lecture.py 16    runs one moment in the checkout, and writes nothing into the page
    python docs/lecture.py notebook    makes docs/lecture.ipynb of the page, by notebook.py

It also writes the page's pictures, and the headers of configs/lecture. Commands stand in blocks of
the page that begin with ```sh. What they show stands below, between two comments. The first comment
says what to take:

    lines REGEX                             the printed lines that match
    figures RUN RUN …: KEY at STEP; …       a table of the monitors' scalars, a run in each row;
                                            after the semicolon the lecture's figures
    picture RUN: KEY first|last             a picture of TensorBoard
    beside RUN RUN: KEY first|last          two of them, beside each other
    drawn FILE: TITLE                       a picture that a command has written
    curves RUN RUN …: KEY over KEY          scalars drawn as lines; over update: over the updates
    losses RUN RUN …                        losses beside those that the lecture printed
    seconds                                 processor time of all commands
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib
import notebook
from PIL import Image
from results import header
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.diagnostics.tensorboard import card
from lit_makemore.runs.report import cpu_name, git_commit

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURES, CONFIGS = ROOT / "docs/lecture.md", ROOT / "docs/lecture", ROOT / "configs/lecture"
COMMANDS = r"```sh\n(?P<commands>.*?)```"
SHOWN = r"<!-- (?P<kind>\w+)(?P<what>[^\n]*?) -->\n.*?<!-- end -->"
PART = re.compile(f"{COMMANDS}|{SHOWN}", re.DOTALL)


def shown(figure: str) -> str:
    """Where TensorBoard shows a figure of a run that shows all of them."""
    found = card(figure, n_layer=1, all_figures=True)
    assert found is not None
    return found


def published(run: str) -> tuple[str, ...]:
    """The losses on train and val in the "loss log" of the lecture's notebook, as printed."""
    config = (CONFIGS / f"{run[3:]}.yaml").read_text()
    return re.search(r"^published: {train: (\S+), val: (\S+),", config, re.MULTILINE).groups()


class Lecture:
    """The page while its commands run.

    Args:
        folder: where they run; it looks like the root of the repository, without its runs.
        pictures: where pictures are written.
    """

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.folder, self.pictures = folder, pictures
        self.printed = ""
        for name in ("train.py", "configs", "data", "docs"):
            (folder / name).symlink_to(ROOT / name)

    def page(self, text: str) -> str:
        """The text of the page with everything between comments made anew."""
        before = _processor_time()
        text = PART.sub(self._part, text)
        took = f"{_processor_time() - before:.0f} s of processor time"
        machine = f"{cpu_name()}, commit {git_commit()}"
        return _between(text, "seconds", f"All commands take {took} on {machine}.")

    def _part(self, match: re.Match[str]) -> str:
        if match["commands"]:
            self.run(match["commands"])
            return match[0]
        kinds: dict[str, Callable[[str], str]] = {
            "lines": self.lines,
            "figures": self.figures,
            "picture": self.picture,
            "beside": self.beside,
            "drawn": self.drawn,
            "curves": self.curves,
            "losses": self.losses,
            "seconds": lambda _: "",
        }
        what = match["what"].strip()
        return f"{match[0].splitlines()[0]}\n{kinds[match['kind']](what)}\n<!-- end -->"

    def run(self, commands: str) -> None:
        begun = time.perf_counter()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed = done.stdout
        print(f"{time.perf_counter() - begun:5.1f} s  {commands.strip()}", file=sys.stderr)
        if done.returncode:
            sys.exit(f"exit status {done.returncode}:\n{done.stdout}")

    def lines(self, pattern: str) -> str:
        whole = re.sub(r"\n {10,}", " ", self.printed)  # lines of the health table are folded
        found = [line for line in whole.splitlines() if re.search(pattern, line)]
        assert found, f"no line matches {pattern}:\n{self.printed}"
        return "\n".join(["```", *found, "```"])

    def figures(self, what: str) -> str:
        runs, tag, step = re.match(r"(.*): (\S+) at (\d+)", what).groups()
        printed = what.partition(";")[2].split()
        rows = {}
        for run in runs.split():
            events, row, group = self._events(run), {}, shown(tag)
            for name in events.Tags()["scalars"]:
                if name.startswith(group):
                    values = {e.step: e.value for e in events.Scalars(name)}
                    row[name.removeprefix(group)] = f"{values[int(step)]:.2g}"
            rows[run] = row
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        assert columns, f"no scalars {tag} in {runs}"
        cells = [[f"`{run}`", *(row.get(c, "") for c in columns)] for run, row in rows.items()]
        if printed:
            cells.append(["the lecture", *printed])
        figure, group = tag.rstrip("/"), shown(tag).rstrip("/")
        head = figure if group == figure else f"{figure} (`{group}`)"  # what TensorBoard calls it
        return _table([head, *columns], cells)

    def picture(self, what: str) -> str:
        run, tag, which = re.match(r"(\S+): (\S+) (first|last)", what).groups()
        name = f"{run}_{tag.rpartition('/')[2]}.png"
        return self._save(self._image(run, tag, which), name, f"{run}: {tag}")

    def beside(self, what: str) -> str:
        one, other, tag, which = re.match(r"(\S+) (\S+): (\S+) (first|last)", what).groups()
        figure, both = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
        for axes, run in zip(both, (one, other), strict=True):
            axes.imshow(self._image(run, tag, which))
            axes.set_title(run, fontsize=12, fontweight="bold")
            axes.axis("off")
        file = BytesIO()
        figure.savefig(file, dpi=115)
        plt.close(figure)
        return self._save(Image.open(file), f"{one}_{other}.png", f"{one} beside {other}: {tag}")

    def drawn(self, what: str) -> str:
        path, title = re.match(r"(\S+): (.*)", what).groups()
        return self._save(Image.open(self.folder / path), Path(path).name, title)

    def curves(self, what: str) -> str:
        runs, y, x = re.match(r"(.*): (\S+) over (\S+)", what).groups()
        figure, axes = plt.subplots(figsize=(7, 3.5))
        for run in runs.split():
            events = self._events(run)
            ys = events.Scalars(shown(y))
            xs = (
                [e.step for e in ys]
                if x == "update"
                else [e.value for e in events.Scalars(shown(x))]
            )
            axes.plot(xs, [e.value for e in ys], linewidth=1, label=run)
        axes.set(xscale="log", xlabel=x, ylabel=y)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
        figure.tight_layout()
        file = BytesIO()
        figure.savefig(file, dpi=100)
        return self._save(Image.open(file), f"{y.replace('/', '_')}.png", f"{y} over {x}")

    def losses(self, what: str) -> str:
        cells = []
        for run in what.split():
            found = json.loads((self.folder / "runs" / run / "summary.json").read_text())
            first = self._events(run).Scalars(shown("initial_loss/network"))[0].value
            ours = [f"{first:.2f}", f"{found['train_loss']:.4f}", f"{found['val_loss']:.4f}"]
            cells.append([f"`{run}`", *ours, *published(run)])
        columns = ["run", "first loss", "train", "val", "the lecture's train", "the lecture's val"]
        return _table(columns, cells)

    def _image(self, run: str, tag: str, which: str) -> Image.Image:
        image = self._events(run).Images(shown(tag))[0 if which == "first" else -1]
        return Image.open(BytesIO(image.encoded_image_string))

    def _events(self, run: str) -> EventAccumulator:
        sizes = {"scalars": 0, "images": 0}
        return EventAccumulator(str(self.folder / "runs" / run), size_guidance=sizes).Reload()

    def _save(self, image: Image.Image, name: str, title: str) -> str:
        few = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        few.save(self.pictures / name, optimize=True)
        return f"![{title}](lecture/{name})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _processor_time() -> float:
    """Seconds that the commands so far have used; a busy machine changes them little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _between(text: str, kind: str, inside: str) -> str:
    pattern = rf"(<!-- {kind} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{inside}\n{m[2]}", text, flags=re.DOTALL)


def run_moment(number: int, text: str) -> None:
    """Runs the commands of a moment in the checkout, after those whose runs it needs."""
    moment = re.search(rf"^### {number} .*?(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    if not moment:
        sys.exit(f"the page has no moment {number}")
    commands = "".join(re.findall(COMMANDS, moment[0], re.DOTALL))
    if not commands:
        sys.exit(f"moment {number} has no command")
    needed = re.findall(r"\b(\d\d)_", " ".join(re.findall(r"runs/\S+", commands)))
    for before in sorted({int(n) for n in needed} - {number}):
        if not [*(ROOT / "runs").glob(f"{before:02d}_*/checkpoints/best.ckpt")]:
            run_moment(before, text)
    print(commands, file=sys.stderr)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    status = subprocess.run(["bash", "-ec", commands], cwd=ROOT, env={**os.environ, "PATH": path})
    if status.returncode:
        sys.exit(status.returncode)


def main() -> None:
    if sys.argv[1:] == ["notebook"]:
        notebook.write(PAGE.read_text())
        return
    if sys.argv[1:]:
        run_moment(int(sys.argv[1]), PAGE.read_text())
        return
    with tempfile.TemporaryDirectory() as name:
        folder, pictures = Path(name), Path(name) / "pictures"
        pictures.mkdir()
        # The checkout is left alone meanwhile: a run records whether it differs from its commit.
        PAGE.write_text(Lecture(folder, pictures).page(PAGE.read_text()))
        shutil.copytree(pictures, PICTURES, dirs_exist_ok=True)
        for config in CONFIGS.glob("*.yaml"):
            (run,) = folder.glob(f"runs/[0-9][0-9]_{config.stem}/summary.json")
            found = json.loads(run.read_text())
            reached = re.sub("^# Reached:.*$", header([found]), config.read_text(), flags=re.M)
            config.write_text(reached)


if __name__ == "__main__":
    main()

"""The referee of the verdicts: networks known to be sick or healthy, and what is said of them.

    python docs/verdicts.py write   trains all but RECORDED, writes docs/verdicts.md and draws
                                    docs/diagnostics/
    python docs/verdicts.py check   trains the quick ones; exit status 1 if a verdict is wrong

A sick network must fail its checks, and may fail others; a healthy one must fail none.
"""

import json
import multiprocessing
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

from PIL import Image
from results import by_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main as lit_makemore
from lit_makemore.commands.exercises.mystery import networks, write_lists

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "verdicts.md"
DRAWN = (  # the networks of docs/diagnostics.md
    *("deep", "no_batchnorm", "no_gain", "saturated", "overconfident_logits"),
    *("tiny_lr", "huge_lr", "relu", "deep_20"),
)
SHOWN = ("1_activations", "5_saturation", "4_update_ratios")
AT_ONCE = 2


@dataclass(frozen=True)
class Network:
    """A line of the table.

    Args:
        name: of the run.
        what: what is wrong with it; or, of a healthy one, what it is.
        options: of fit, in words; LIST stands for a list made here.
        fails: the checks that it must fail; none: it is healthy.
        is_long: whether `check` leaves it out.
    """

    name: str
    what: str
    options: str
    fails: frozenset[str] = frozenset()
    is_long: bool = False


NETWORKS = [
    Network(
        one["name"],
        one["what"],
        one["options"],
        frozenset(one.get("fails", "").split()),
        one.get("long", False),
    )
    for one in networks()
]
RECORDED = ("names_distilled", "names_mixture", "best_small", "best")  # runs of docs/results.json


def train(network: Network, folder: Path, draws: bool) -> dict:
    """The summary of its run."""
    options = network.options.replace("LIST", str(folder / "LIST")).split()
    options += ["--runs_dir", str(folder), "--name", network.name.replace(", ", "_")]
    options += ["--threads", "1", "--diagnostics.pictures", str(draws).lower()]
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = lit_makemore(["fit", *options])
    path = folder / network.name.replace(", ", "_") / "summary.json"
    if status == 0:
        return json.loads(path.read_text())
    error = said.getvalue().strip().splitlines()[-1]
    if not (stopped := re.search(r"the loss is (?:nan|inf) at update (\d+)", error)):
        raise RuntimeError(f"{network.name}: {error}")
    step = int(stopped[1])
    return {"steps": step, "health": {"nan": f"update {step}"}, "final": {"val_loss": float("nan")}}


def recorded(name: str) -> tuple[Network, dict]:
    """A configuration that docs/results.py has trained, with the summary of its first seed."""
    row = by_config()[name][0]
    network = Network(name, "of docs/results.md", f"--config {row['config']}")
    summary = {"steps": row["steps"], "health": row["unhealthy"]}
    return network, summary | {"final": {"val_loss": row["final_val_loss"]}}


def failures(summary: dict) -> dict[str, str]:
    """The checks that failed, each with its update and its figure; the earliest first."""
    bad = {k: v for k, v in summary["health"].items() if v.startswith("update ")}
    return dict(sorted(bad.items(), key=lambda item: update_of(item[1])))


def update_of(text: str) -> int:
    """The update of a failure, whose text begins with it."""
    return int(text.split()[1].rstrip(":"))


def is_right(network: Network, found: dict[str, str]) -> bool:
    return network.fails <= found.keys() if network.fails else not found


def train_all(networks: list[Network], folder: Path, draws: bool) -> list[dict]:
    """The summaries of the runs; some draw their pictures, if any are to be drawn."""
    write_lists(folder)
    drawn = [draws and network.name in DRAWN for network in networks]
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(AT_ONCE, mp_context=spawned) as pool:
        # the last ones of the table are the longest: they begin first
        found = list(pool.map(train, networks[::-1], [folder] * len(networks), drawn[::-1]))
    return found[::-1]


def table(networks: list[Network], summaries: list[dict]) -> str:
    """The lines of the page: sick networks, then healthy ones."""
    lines = []
    for kind in ("sick", "healthy"):
        lines += ["", f"| {kind} | what | updates | val | verdicts, each with the first update |"]
        lines += ["|---|---|---|---|---|"]
        for network, summary in zip(networks, summaries, strict=True):
            if bool(network.fails) != (kind == "sick"):
                continue
            found = failures(summary)
            said = [
                f"{f'**{check}**' if check in network.fails else check} {update_of(text):,}"
                for check, text in found.items()
            ]
            reached = f"{summary['steps']:,} | {summary['final']['val_loss']:.3f}"
            lines.append(
                f"| {network.name} | {network.what} | {reached} | {', '.join(said) or 'healthy'} |"
            )
    return "\n".join(lines[1:])


def picture(run: Path) -> Image.Image:
    """The last pictures of a run, side by side."""
    events = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    parts = [
        Image.open(BytesIO(events.Images(f"2_pictures/{name}")[-1].encoded_image_string))
        for name in SHOWN
    ]
    height = min(part.height for part in parts)
    parts = [part.resize((part.width * height // part.height, height)) for part in parts]
    whole = Image.new("RGB", (sum(part.width for part in parts), height), "white")
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width
    whole.thumbnail((1500, 1500))
    return whole.convert("P", palette=Image.Palette.ADAPTIVE, colors=128)


def main(command: str) -> int:
    networks = [one for one in NETWORKS if command == "write" or not one.is_long]
    with tempfile.TemporaryDirectory() as folder:
        summaries = train_all(networks, Path(folder), command == "write")
        if command == "write":
            for name in DRAWN:
                picture(Path(folder) / name).save(
                    ROOT / "docs" / "diagnostics" / f"{name}.png", optimize=True
                )
    for name in RECORDED:
        network, summary = recorded(name)
        networks.append(network)
        summaries.append(summary)
    if command == "write":
        text = f"<!-- docs/verdicts.py -->\n{table(networks, summaries)}\n<!-- end -->"
        pattern = r"<!-- docs/verdicts.py -->\n.*?<!-- end -->"
        PAGE.write_text(re.sub(pattern, lambda _: text, PAGE.read_text(), flags=re.DOTALL))
    print(table(networks, summaries))
    wrong = 0
    for network, summary in zip(networks, summaries, strict=True):
        if not is_right(network, found := failures(summary)):
            print(f"{network.name}: must fail {sorted(network.fails) or 'nothing'}, failed {found}")
            wrong += 1
    print(f"{len(networks)} networks, {wrong} judged wrongly")
    return min(wrong, 1)


if __name__ == "__main__":
    if sys.argv[1:] not in (["write"], ["check"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

"""What each configuration reached: one file, from which README and config headers are written.

python docs/results.py add RUN_FOLDER …   takes summary.json of finished runs into results.json
python docs/results.py write              writes the README's table and the config headers
python docs/results.py check              exit status 1 if they say anything else
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results.json"
LOSSES = ("train_loss", "val_loss", "test_loss", "val_loss_novel", "test_loss_novel")
KEPT = ("config", "params", "steps", "batch_size", "seed", "wall_s", "steps_per_s", *LOSSES)
PUBLISHED = {  # val loss
    "configs/reference/one_layer.yaml": "2.1542",
    "configs/reference/deep.yaml": "2.0962",
    "configs/reference/logits_bn.yaml": "2.0822",
}


def add(folders: list[str]) -> None:
    """Takes runs in; a run replaces the one of the same config and seed."""
    rows = {(row["config"], row["seed"]): row for row in load()}
    for folder in folders:
        summary = json.loads((Path(folder) / "summary.json").read_text())
        row = {key: summary[key] for key in KEPT}
        row |= {"final_val_loss": summary["final"]["val_loss"], "machine": summary["machine"]}
        row["unhealthy"] = {k: v for k, v in summary["health"].items() if v != "ok"}
        row |= {"torch": summary["versions"]["torch"], "git_commit": summary["git_commit"]}
        rows[row["config"], row["seed"]] = row
    ordered = sorted(rows.values(), key=lambda row: (row["config"], row["seed"]))
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def load() -> list[dict]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def documents() -> dict[Path, str]:
    """Every file with results in it, as it should read."""
    rows = load()
    readme = ROOT / "README.md"
    table = f"<!-- results: docs/results.py write -->\n{markdown(rows)}<!-- end -->"
    pattern = r"<!-- results: docs/results.py write -->\n.*?<!-- end -->"
    texts = {readme: re.sub(pattern, lambda _: table, readme.read_text(), flags=re.DOTALL)}
    for row in rows:
        path = ROOT / row["config"]
        line = header(row)
        texts[path] = re.sub(r"^# Reached: .*$", lambda _: line, path.read_text(), flags=re.M)  # noqa: B023
    return texts


def markdown(rows: list[dict]) -> str:
    head = ["config", "params", "steps × batch", "wall-clock", "train", "val", "test", "published"]
    table = [[*head, "commit"], ["---"] * 9]
    for row in rows:
        table.append(
            [
                row["config"].removeprefix("configs/"),
                f"{row['params']:,}",
                f"{row['steps']:,} × {row['batch_size']}",
                clock(row["wall_s"]),
                *(f"{row[key]:.4f}" for key in LOSSES[:3]),
                PUBLISHED.get(row["config"], ""),
                row["git_commit"],
            ]
        )
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    machines = sorted({f"{row['machine']}, torch {row['torch']}" for row in rows})
    lines += ["", f"Seed 42, best checkpoint, nats; published: val. On {'; '.join(machines)}.", ""]
    return "\n".join(lines)


def header(row: dict) -> str:
    losses = (f"{key.removesuffix('_loss')} {row[key]:.4f}" for key in LOSSES[:3])
    where = f"{clock(row['wall_s'])} on {row['machine']}; commit {row['git_commit']}"
    return f"# Reached: {', '.join(losses)} in {where}"


def clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["add"] and arguments[1:]:
        add(arguments[1:])
    elif arguments == ["write"]:
        for path, text in documents().items():
            path.write_text(text)
    elif arguments == ["check"]:
        stale = [str(path) for path, text in documents().items() if path.read_text() != text]
        if stale:
            print(f"{', '.join(stale)}: out of date; run: python docs/results.py write")
        return int(bool(stale))
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

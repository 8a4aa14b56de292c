"""Trains the deep network and the eight networks of configs/ablations, for docs/diagnostics.md.

    python docs/ablations.py

It writes their verdicts into the table of the page, and a picture of each into docs/diagnostics/.
"""

import json
import re
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "diagnostics.md"
ORDER = (
    *("deep", "no_batchnorm", "no_gain", "saturated", "overconfident_logits"),
    *("tiny_lr", "huge_lr", "relu", "deep_20"),
)
SHOWN = ("1_activations", "5_saturation", "4_update_ratios")


def train(config: str, folder: Path) -> dict:
    kind = "reference" if config == "deep" else "ablations"
    command = [sys.executable, "train.py", "fit", "--config", f"configs/{kind}/{config}.yaml"]
    command += ["--trainer.max_steps", "1000", "--runs_dir", str(folder), "--name", config]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads((folder / config / "summary.json").read_text())


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


def main() -> None:
    lines = ["| network | val loss after 1,000 updates | verdicts |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for config in ORDER:
            summary = train(config, Path(folder))
            bad = {k: v for k, v in summary["health"].items() if v != "ok"}
            said = "; ".join(f"**{check}** {text}" for check, text in bad.items()) or "healthy"
            lines.append(f"| {config} | {summary['final']['val_loss']:.3f} | {said} |")
            target = ROOT / "docs" / "diagnostics" / f"{config}.png"
            target.parent.mkdir(exist_ok=True)
            picture(Path(folder) / config).save(target, optimize=True)
    table = "<!-- docs/ablations.py -->\n" + "\n".join(lines) + "\n<!-- end -->"
    pattern = r"<!-- docs/ablations.py -->\n.*?<!-- end -->"
    PAGE.write_text(re.sub(pattern, lambda _: table, PAGE.read_text(), flags=re.DOTALL))
    print(table)


if __name__ == "__main__":
    main()

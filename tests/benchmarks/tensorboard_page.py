"""A real TensorBoard on loopback, and a real browser to look at it.

    python -m tests.benchmarks.tensorboard_page LOGDIR PICTURE.png [STEP]

takes a picture of the Time Series page, as the README shows it, once a run that is going on has
reached a step. Needs the system's Chromium and the Python package playwright.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

LOSS = "1_losses/train"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
PATIENCE_MS = 300_000  # a browser on a slow and busy machine

SETTINGS = """localStorage.setItem('_tb_global_settings', JSON.stringify({paginationSize: 100,
    theme: 'light', timeSeriesSettingsPaneOpened: false, stepSelectorEnabled: false}))"""


class TensorBoard:
    """The HTTP interface that the page itself uses."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, route: str, **query: str) -> Any:
        url = f"{self.address}/data/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            body = reply.read()
        return json.loads(body) if reply.headers["Content-Type"] == "application/json" else body

    def post(self, route: str, body: dict) -> Any:
        request = urllib.request.Request(
            f"{self.address}/data/{route}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)


@contextmanager
def tensorboard(logdir: Path) -> Iterator[TensorBoard]:
    """`tensorboard --logdir` on a free port, once it has read the runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--reload_interval", "1"]
    command += ["--samples_per_plugin", "images=100,scalars=10000,text=100,histograms=1000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    board = TensorBoard(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 600
        while True:
            try:
                if board.get("runs") and board.get("plugin/scalars/tags"):
                    break
            except OSError:
                pass
            assert process.poll() is None, "TensorBoard has ended"
            assert time.monotonic() < deadline, "TensorBoard shows no run"
            time.sleep(0.3)
        yield board
    finally:
        process.terminate()
        process.wait(120)


@contextmanager
def page(board: TensorBoard, tag_filter: str = "", height: int = 1100) -> Iterator[Any]:
    """The Time Series page in Chromium, its lines drawn as countable paths."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            opened = browser.new_page(viewport={"width": 1500, "height": height})
            opened.add_init_script(SETTINGS)
            query = urllib.parse.urlencode({"tagFilter": tag_filter}) if tag_filter else ""
            opened.goto(f"{board.address}/?forceSVG=true&{query}#timeseries")
            opened.set_default_timeout(PATIENCE_MS)
            opened.wait_for_selector("card-view")
            yield opened
        finally:
            browser.close()


def reached(board: TensorBoard) -> int:
    """The latest step of any run."""
    runs = [run for run, tags in board.get("plugin/scalars/tags").items() if LOSS in tags]
    curves = [board.get("plugin/scalars/scalars", run=run, tag=LOSS) for run in runs]
    return max((curve[-1][1] for curve in curves), default=0)


def main() -> None:
    logdir, picture, *rest = sys.argv[1:]
    step = int(rest[0]) if rest else 0
    with tensorboard(Path(logdir)) as board:
        while reached(board) < step:
            time.sleep(1)
        with page(board) as opened:
            opened.wait_for_timeout(3_000)  # until all is drawn
            opened.screenshot(path=picture)
    image = Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
    image.save(picture, optimize=True)


if __name__ == "__main__":
    main()

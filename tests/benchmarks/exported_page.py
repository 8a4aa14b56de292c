"""An exported page in a real browser.

    python -m tests.benchmarks.exported_page PAGE.html PICTURE.png

takes the picture of the page that the README shows. Needs the system's Chromium and the Python
package playwright.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from tests.benchmarks.tensorboard_page import CHROMIUM, FLAGS, PATIENCE_MS

DESKTOP, PHONE = (1000, 740), (390, 844)


@contextmanager
def opened(page: Path, size: tuple[int, int] = DESKTOP) -> Iterator[Any]:
    """The page, once it shows names. An error in it, or a request for anything else, fails."""
    from playwright.sync_api import sync_playwright

    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            found = browser.new_page(viewport={"width": size[0], "height": size[1]})
            found.set_default_timeout(PATIENCE_MS)
            found.on("pageerror", lambda error: wrong.append(str(error)))
            found.on("console", lambda message: wrong.append(message.text))
            found.on("request", lambda request: wrong.append(request.url))
            found.goto(page.absolute().as_uri())
            found.wait_for_selector("#list li")
            yield found
        finally:
            browser.close()
    assert wrong == [page.absolute().as_uri()]


def draw(page: Any, seed: int, **fields: str) -> list[str]:
    """Fills the form, presses the button and reads the names, once all are there."""
    page.evaluate("options.open = true")
    for name, value in {"seed": str(seed), **fields}.items():
        page.fill(f"#{name.replace('_', '-')}", value)
    page.click("#invent")
    page.wait_for_selector("#running", state="hidden")
    return page.locator("#list li").all_text_contents()


def main() -> None:
    source, picture = map(Path, sys.argv[1:])
    with opened(source) as page:
        draw(page, 1, prefix="ma")
        page.screenshot(path=picture)
    image = Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    image.save(picture, optimize=True)


if __name__ == "__main__":
    main()

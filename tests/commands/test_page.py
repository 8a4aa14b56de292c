"""The page of `export` in a real browser."""

import re
from collections import Counter
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from lit_makemore.commands.export import web_page
from lit_makemore.model import NameModel
from lit_makemore.sampling.conditioned import sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.sampler import Decoding
from lit_makemore.words.corpus import word_hashes
from tests.benchmarks.exported_page import CHROMIUM, DESKTOP, PHONE, draw, opened
from tests.commands.test_export import MODELS, mixed, prefixes, random_model, windows
from tests.commands.test_names_py import exported
from tests.sampling.test_generate import known

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or find_spec("playwright") is None, reason="no Chromium or playwright"
    ),
]
NAMES = "(options) => litMakemore.names({ topP: 1, ...options })"
PYTHON = {"maxLength": "max_length", "topP": "top_p", "onlyNew": "only_new"}


def written(model: NameModel, folder):
    path = folder / "page.html"
    path.write_bytes(web_page(model.folded())[0])
    return path


def log_p(model: NameModel, begun: list[str]) -> torch.Tensor:
    """The logits of the whole model, Batch Normalization not folded."""
    with torch.no_grad():
        return model(windows(model, begun))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_browser_computes_the_same_logits_and_draws_the_same_names(make, tmp_path):
    model = make()
    begun = prefixes(model, 1000)
    model.list_hashes = word_hashes(iter(prefixes(model, 300)))
    python = exported(model, tmp_path)
    with opened(written(model, tmp_path)) as page:
        found = page.evaluate("(all) => all.map((p) => [...litMakemore.logits(p)])", begun)
        np.testing.assert_allclose(found, log_p(model, begun).numpy(), atol=1e-5)

        others = [*begun, "Zoë", "x" * 200, "y" * 128, "z" * 129, ""]
        marks = page.evaluate("(all) => all.map((name) => litMakemore.known(name))", others)
        assert marks == known(model.list_hashes, word_hashes(iter(others))).tolist()

        begin = model.vocab.chars[-2:]
        for options in [
            {"num": 300, "seed": 0},
            {"num": 20, "seed": 2**32 - 1, "temperature": 0.6, "prefix": begin},
            {"num": 100, "seed": 7, "maxLength": 6, "topP": 0.8, "unique": True},
            {"num": 20, "seed": 3, "maxLength": 3, "onlyNew": True},
        ]:
            ours = {PYTHON.get(name, name): value for name, value in options.items()}
            assert page.evaluate(NAMES, options) == python.generate(**{"top_p": 1, **ours})


# Of a network of three characters its places are few enough, of eight they are not.
@pytest.mark.parametrize("block_size", [2, 8])
def test_names_under_a_condition_have_the_probabilities_of_the_network(block_size, tmp_path):
    chars = "abcdefghijklmnopqrstuvwxyz" if block_size > 2 else "abc"
    model = random_model(chars, block_size, n_layer=1, norm="none")
    options = {"num": 2_000, "seed": 2, "prefix": "a", "suffix": "b", "pattern": "?*c?",
               "minLength": 3, "maxLength": 4}  # fmt: skip
    words = ["acb", *(f"a{c}cb" for c in chars)]
    with opened(written(model, tmp_path)) as page:
        drawn = Counter(page.evaluate(NAMES, options))
    p = np.exp(model.score(words))
    cells = 2_000 * p / p.sum()
    counts = np.array([drawn[word] for word in words])
    assert counts.sum() == 2_000
    chi_square = ((counts - cells) ** 2 / cells).sum()
    assert chi_square < {4: 16.3, 27: 55.5}[len(words)]  # once in a thousand


@pytest.mark.parametrize(
    "condition",
    [
        {"min_length": 30},
        {"suffix": "son", "max_length": 8},
        {"pattern": "m?r*a", "min_length": 6},
        {"prefix": "ma", "pattern": "*?l*", "suffix": "i"},
        {"pattern": r"a\*b?"},
    ],
    ids=str,
)
def test_the_share_of_names_that_fit_is_that_of_the_command_sample(condition, tmp_path):
    model = mixed(random_model("abcdefghijklmnopqrstuvwxyz*", n_layer=1))
    asked = {"max_length": 100, **condition}
    options = {re.sub("_l", "L", name): value for name, value in asked.items()}
    script = "(o) => { for (const x of litMakemore.search(o)) if (x.chance) return x.chance; }"
    with opened(written(model, tmp_path)) as page:
        share = page.evaluate(script, {"topP": 1, **options})
    plain = model, model.vocab, model.block_size, Decoding()
    expected = sampler(*plain, Condition(**asked)).probability
    assert share == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_is_no_name_and_what_is_unknown_an_error(tmp_path):
    model = random_model("abc *?é", n_layer=1)
    with opened(written(model, tmp_path)) as page:
        for options in [
            {"suffix": " "},
            {"prefix": " a"},
            {"pattern": "a?b", "suffix": "c"},
            {"pattern": "ab*", "prefix": "b"},
            {"pattern": "?????", "maxLength": 4},
            {"prefix": "abc", "maxLength": 2},
            {"minLength": 5, "maxLength": 4},
        ]:
            ended = "(o) => { const s = litMakemore.search({ topP: 1, ...o }); let x;"
            ended += " do x = s.next(); while (!x.done && !x.value.name); return x.value; }"
            assert page.evaluate(ended, options) is True, options
        for options, expected in [
            ({"pattern": "a\\?*", "minLength": 4}, r"a\?.{2,}"),
            ({"pattern": "***\\*a"}, r".*\*a"),
            ({"pattern": "a?", "suffix": "e\u0301"}, "aé"),
        ]:
            names = page.evaluate(NAMES, options)
            assert len(names) == 10
            assert all(re.fullmatch(expected, name) for name in names), names
        for options in ({"suffix": "x"}, {"pattern": "*x"}, {"prefix": "x"}):
            script = "(o) => { try { litMakemore.names(o); } catch (e) { return e.char; } }"
            assert page.evaluate(script, options) == "x"


def test_two_elements_of_the_page_are_enough_on_another_site(tmp_path):
    model = random_model(n_layer=1)
    page = web_page(model.folded())[0].decode()
    elements = re.findall(r'<script [^>]*id="(?:network|names)">.*?</script>', page, re.DOTALL)
    own = "<ol id=list></ol>{}<script type=module>list.innerHTML = '<li>' + {}</script>"
    path = tmp_path / "own.html"
    path.write_text(own.format("".join(elements), "litMakemore.names({num: 1, seed: 4})"))
    with opened(path) as found:
        expected = exported(model, tmp_path).generate(1, 4)
        assert found.locator("#list li").all_text_contents() == expected


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_works_with_the_keyboard_at_any_width(size, tmp_path):
    model = random_model(n_layer=1)
    drawn = partial(exported(model, tmp_path).generate, 10, prefix="ma", top_p=1)
    with opened(written(model, tmp_path), size) as page:
        assert page.evaluate("options.open") == (size == DESKTOP)
        for item in page.locator("#list li").all():  # without scrolling
            box = item.bounding_box()
            assert box["y"] + box["height"] <= size[1]
        assert draw(page, 5, prefix="ma", top_p="1") == drawn(5)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.inner_text("#drawn") == "Seed 5"
        p = log_p(model, ["ma"])[0].softmax(0)
        letters, shares = (page.locator(f"#bars {part}").all_text_contents()
                           for part in ("th", "td:last-child"))  # fmt: skip
        best = int(p.argmax())
        assert letters[0] == ["(end)", *model.vocab.chars][best]
        assert shares[0] == f"{100 * float(p[best]):.1f}\u00a0%"

        fields = ["prefix", "suffix", "pattern", "temperature", "top-p", "shortest", "longest",
                  "num", "seed", "unique", "only-new"]  # fmt: skip
        for name in fields:
            assert page.locator(f"label:has(#{name}), label[for={name}]").count() == 1
        page.focus("#prefix")
        order = []
        for _ in range(len(fields) + 1):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || 'summary'"))
        assert order == ["invent", "summary", *fields[1:]]
        page.fill("#seed", "6")
        page.focus("#prefix")
        page.keyboard.press("Enter")
        expected = drawn(6)
        assert page.locator("#list li").all_text_contents() == expected

        for field in ("prefix", "suffix", "pattern"):
            page.fill("#seed", "6")
            for text, told in [("maÉ", "“É”."), ("M", "“M”. Try “m”.")]:
                page.fill(f"#{field}", text)
                page.click("#invent")
                assert page.inner_text("#error") == f"No name of the list has a {told}"
                assert page.evaluate("document.activeElement.id") == field
            page.fill(f"#{field}", "")
        assert page.locator("#list li").all_text_contents() == expected
        page.fill("#shortest", "200")
        page.evaluate("options.open = false")
        page.click("#invent")  # the browser refuses: at most 100, at least 200
        assert page.evaluate("options.open")
        assert page.locator("#list li").all_text_contents() == expected
        page.fill("#longest", "1000")
        page.fill("#shortest", "1")
        page.fill("#pattern", "a?b")
        assert draw(page, 1, suffix="c") == []
        assert page.inner_text("#drawn").startswith("No name can be like this. Ask for less,")


def test_options_of_the_page_are_those_of_the_generator(tmp_path):
    model = random_model(n_layer=1)
    with opened(written(model, tmp_path)) as page:
        page.fill("#num", "1000")
        page.check("#unique")
        names = draw(page, 3, pattern="*r?*", top_p="0.5", longest="7", shortest="5", suffix="a")
        options = {"seed": 3, "num": 1000, "pattern": "*r?*", "topP": 0.5, "minLength": 5,
                   "maxLength": 7, "suffix": "a", "unique": True}  # fmt: skip
        assert names == page.evaluate(NAMES, options)
        assert len(names) == len(set(names)) > 0
        assert all(re.fullmatch(".*r.+", name) and name[-1] == "a" for name in names)
        told = page.inner_text("#drawn")
        assert re.fullmatch(
            rf"Only {len(names)} of 1,000 were found: .* [\d.]+\s% of all its names are .* 3", told
        )
        shares = page.locator("#bars td:last-child").all_text_contents()
        assert page.inner_text("#share") == "50\u00a0%"
        assert sum(float(share.split()[0]) for share in shares) == pytest.approx(100, abs=0.5)


LONGEST_PAUSE = """() => new Promise((resolve) => {
  let before = performance.now(), longest = 0, beats = 0;
  const beat = () => {
    longest = Math.max(longest, performance.now() - before);
    before = performance.now();
    if (++beats < 20 && !running.hidden) setTimeout(beat); else resolve([longest, beats]);
  };
  setTimeout(beat);
})"""


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (partial(random_model, n_layer=5), {"shortest": "30", "num": "1000"}),
        (MODELS["mixture of 8"], {"suffix": "q", "num": "1000", "shortest": "4"}),
        (MODELS["mixture of 8"], {"pattern": "?" * 40, "num": "1000"}),
    ],
    ids=["exact", "drawn until they fit", "pattern"],
)
def test_a_long_search_leaves_the_page_alive_and_can_be_stopped(model, fields, tmp_path):
    with opened(written(model(), tmp_path)) as page:
        for name, value in {"seed": "1", "top-p": "1", **fields}.items():
            page.fill(f"#{name}", value)
        page.click("#invent")
        longest, beats = page.evaluate(LONGEST_PAUSE)
        assert beats == 20
        assert longest < 1_000  # on a busy machine; a slice has 40
        assert page.get_attribute("#result", "aria-busy") == "true"
        assert re.search(r"\d of \d|Looking ahead: ", page.inner_text("#drawn"))
        page.evaluate("document.querySelector('#stop').click()")  # waits for nothing
        page.wait_for_selector("#running", state="hidden")
        names = page.locator("#list li").all_text_contents()
        assert page.inner_text("#drawn").startswith(f"Stopped at {len(names)} of ")
        assert page.get_attribute("#result", "aria-busy") == "false"
        assert draw(page, 2, num="3", shortest="1", suffix="", pattern="") != names


def test_a_thousand_long_names_are_found(tmp_path):
    with opened(written(random_model(n_layer=1), tmp_path)) as page:
        names = draw(page, 1, num="1000", shortest="30", top_p="1")
        assert len(names) == 1_000
        assert min(map(len, names)) >= 30


def test_columns_of_names_from_right_to_left_begin_right(tmp_path):
    with opened(written(random_model("\u05d0\u05d1\u05d2\u05d3", n_layer=1), tmp_path)) as page:
        assert len(draw(page, 1, num="20", longest="8")) == 20
        boxes = [item.bounding_box() for item in page.locator("#list li").all()]
        assert boxes[0]["x"] > boxes[-1]["x"]
        ends = [page.locator(f"#list {part}").first.bounding_box() for part in ("li", "button")]
        right, right_of_name = (box["x"] + box["width"] for box in ends)
        assert right_of_name == pytest.approx(right, abs=1)


def test_kept_names_stay_in_the_browser(tmp_path):
    with opened(written(random_model(n_layer=1), tmp_path)) as page:
        names = draw(page, 1)
        kept = page.locator("#favourites li")
        assert not page.is_visible("#kept")
        for i in (2, 0, 1):
            page.locator("#list button").nth(i).click()
        page.locator("#list button").nth(0).click()
        assert kept.all_text_contents() == [names[2], names[1]]
        with page.expect_download() as download:
            page.click("[data-download=favourites]")
        assert download.value.suggested_filename == "names.txt"
        assert download.value.path().read_text("utf-8") == f"{names[2]}\n{names[1]}\n"
        page.evaluate("navigator.clipboard.writeText = (text) => { globalThis.copied = text; }")
        page.click("[data-copy=list]")
        page.wait_for_function("copied")
        assert page.evaluate("copied") == "".join(f"{name}\n" for name in names)
        assert page.inner_text("[data-copy=list]") == "Copied"


def test_kept_names_are_there_again_and_a_forbidden_storage_is_said(tmp_path):
    path = written(random_model(n_layer=1), tmp_path)
    (tmp_path / "frame.html").write_text(
        '<ol id=list><li></ol><iframe sandbox="allow-scripts" src="page.html"></iframe>'
    )
    from playwright.sync_api import sync_playwright

    from tests.benchmarks.tensorboard_page import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(path.as_uri())
        page.locator("#list button").first.click()
        kept = page.locator("#favourites li").all_text_contents()
        assert page.inner_text("#kept-hint").startswith("They stay in this browser.")
        page.reload()
        page.wait_for_selector("#list li")
        assert page.locator("#favourites li").all_text_contents() == kept != []
        page.goto((tmp_path / "frame.html").as_uri())
        frame = page.frame_locator("iframe")
        frame.locator("#list button").first.click()
        assert frame.locator("#kept-hint").inner_text().startswith("They are lost")
        assert frame.locator("#favourites li").count() == 1
        browser.close()

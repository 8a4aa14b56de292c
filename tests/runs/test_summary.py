import pytest

from lit_makemore.network.mlp import MLP
from lit_makemore.runs.summary import columns, displayed_width, draw_samples, shortened
from lit_makemore.training.datamodule import NamesDataModule


def test_names_stand_in_five_columns():
    lines = columns([(name, "new") for name in "ada bo cleo dario edda fina".split()]).split("\n")
    assert lines[1] == "  ada     bo      cleo    dario   edda"
    assert lines[2] == "  fina"


@pytest.mark.parametrize("name", ["q" * 300, "中" * 300, "e\u0301" * 300, "ab" * 9, "👩‍👩‍👧" * 40])
def test_whatever_the_names_the_table_fits_100_columns(name):
    samples = [(name, where) for where in ("new", "train", "held out", "cut")] * 5
    lines = columns(samples).split("\n")
    assert max(map(displayed_width, lines)) <= 100
    assert sum(line.count(name[:5]) for line in lines) >= 20


def test_only_what_does_not_fit_is_shortened():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert shortened("中中中中", 6) == "中中…"


def test_a_network_that_never_ends_a_name_costs_little(word_list):
    """It is asked for the names that are shown, and no further than names may go."""
    data = NamesDataModule(str(word_list))
    data.setup("fit")
    net = MLP(len(data.vocab), 3).eval()
    net.layers[-1].bias.data[0] = -1000
    seen = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    samples = draw_samples(net, data)
    assert {(len(name), where) for name, where in samples} == {(100, "cut")}
    assert sum(seen) <= 20 * 100

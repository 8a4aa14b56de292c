from lit_makemore.runs.summary import draw_samples

from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule


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

import pytest

from lit_makemore.diagnostics.tags import shown_layers, tag


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        ("train/loss", "1_losses/train"),
        ("initial_loss/network", "1_losses/train"),
        ("val/loss", "1_losses/val"),
        ("val/loss_novel", "1_losses/val_novel"),
        ("update_ratio/hidden1/linear/weight", "6_update/hidden1/linear/weight"),
        ("val/bits_per_char", None),
        ("val/perplexity", None),
        ("update_ratio/hidden1/norm/weight", None),
        ("health/nan", None),
        ("health", "health"),  # the text
        ("samples", "samples"),
        ("lr-SGD", "lr-SGD"),  # of a callback that the user has added
    ],
)
def test_where_a_figure_is_shown(figure, shown):
    assert tag(figure, 5, all_figures=False) == shown


def test_all_figures_are_shown_if_that_is_asked_for():
    assert tag("val/perplexity", 5, all_figures=True) == "val/perplexity"
    assert tag("update_ratio/hidden2/norm/weight", 20, all_figures=True) == (
        "6_update/hidden2/norm/weight"
    )


def test_of_a_deep_network_five_layers_are_shown():
    assert shown_layers(3) == {1, 2, 3}
    assert shown_layers(20) == {1, 5, 10, 15, 20}
    assert tag("activation_std/hidden2/tanh", 20, all_figures=False) is None
    assert tag("activation_std/hidden20/tanh", 20, all_figures=False) == "4_std/hidden20/tanh"

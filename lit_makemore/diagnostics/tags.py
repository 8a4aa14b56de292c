"""How TensorBoard shows the figures of a run: the losses first, then a card for each idea.

TensorBoard opens the first groups of its page, by number, and cuts long tags. Other loggers, and
the keys that callbacks monitor, have the names that the monitors give.
"""

import re

MOST_LAYERS = 5  # of a deeper network, so many layers have cards, from the first to the last

GROUPS = {  # a figure, or the group it is in, and where TensorBoard shows it
    "train/loss": "1_losses/train",
    "initial_loss/network": "1_losses/train",  # its first point
    "val/loss": "1_losses/val",
    "val/loss_novel": "1_losses/val_novel",
    "pictures": "2_pictures",
    "activation_saturated": "3_saturated",
    "activation_std": "4_std",
    "gradient_std": "5_gradient",
    "update_ratio": "6_update",
    "train/lr": "7_progress/lr",
    "train/steps_per_s": "7_progress/steps_per_s",
    "val/top1": "7_progress/val_top1",
    "counting": "8_counting",
    "best": "9_best",
}

DETAILS = re.compile(  # what is only shown if all figures are asked for
    "activation_(mean|dead)/|gradient_mean/|weight_gradient|grad_to_data/|lr_grad_ratio/"
    "|batch_norm_|initial_loss/uniform|health/|val/(perplexity|bits_per_char|top5)"
    "|update_ratio/(guide|embedding|.*(bias|norm/weight)$)"
)


def tag(figure: str, n_layer: int, all_figures: bool) -> str | None:
    """Where TensorBoard shows a figure; None: it does not.

    Args:
        figure: its key, as activation_std/hidden1/tanh.
        n_layer: hidden layers of the network.
        all_figures: whether the details and all layers are shown too.
    """
    if not all_figures:
        layer = re.search(r"/hidden(\d+)/", figure)
        if DETAILS.match(figure) or (layer and int(layer[1]) not in shown_layers(n_layer)):
            return None
    for key, group in GROUPS.items():
        if figure == key or figure.startswith(f"{key}/"):
            return group + figure.removeprefix(key)
    return figure


def shown_layers(n_layer: int) -> set[int]:
    """The first layer, the last, and some between them, from 1."""
    if n_layer <= MOST_LAYERS:
        return set(range(1, n_layer + 1))
    return {1 + i * (n_layer - 1) // (MOST_LAYERS - 1) for i in range(MOST_LAYERS)}

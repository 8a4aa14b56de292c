"""The options that follow from the length of a word list. Pure functions.

A network learns a short list by heart in a few hundred updates. A longer list takes more updates,
and less dropout. The factors were chosen on eight lists that docs/lists.md names.
"""

from math import log10
from typing import Any, Literal

from lit_makemore.training.datamodule import NamesDataModule

Role = Literal["network", "teacher"]
BATCH_SIZE = 256
PASSES = 30  # of a teacher through the examples
UPDATES = (100, 3000)  # the fewest and the most updates of a teacher
VALIDATIONS = 10  # of the network; a teacher is only validated at its end


def options_for(role: Role, examples: int) -> dict[str, Any]:
    """The options of a run by their names, for a list of so many training examples.

    The role is network, for the one that is wanted, or teacher, for one that it learns from.
    """
    fewest, most = UPDATES
    steps = interval = min(max(PASSES * examples // BATCH_SIZE, fewest), most)
    # 0.65 up to 3,000 examples, 0.3 less for ten times as many, at least 0.1; in steps of 0.05
    dropout = round(20 * max(0.65 - 0.3 * log10(max(examples, 3000) / 3000), 0.1)) / 20
    if role == "network":
        interval, dropout = 2 * steps // VALIDATIONS, 0.1
        steps = interval * VALIDATIONS
    trainer = {"trainer.max_steps": steps, "trainer.val_check_interval": interval}
    return {"data.batch_size": BATCH_SIZE, "model.dropout": dropout, **trainer}


def examples_of(data: NamesDataModule) -> int:
    """How many training examples a list has, to a word or so: its characters and end marks."""
    share = len(data.numbers[0]) / data.corpus.n_words
    return round(share * len(data.corpus.text))

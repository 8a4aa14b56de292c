"""The options that follow from the length of a word list. Pure functions.

A longer list takes more updates and less dropout, a long one a wider network. docs/lists.md says
what chose the factors of short lists, docs/growth.md what long ones reach.
"""

from math import log10
from typing import Any, Literal

from lit_makemore.training.datamodule import NamesDataModule

Role = Literal["network", "teacher"]
BATCH_SIZE = 256
PASSES = 30  # of a teacher through the examples
UPDATES = (100, 3000)  # the fewest and the most updates of a teacher
VALIDATIONS = 10  # of the network; a teacher is only validated at its end
TEACHERS: tuple[str, ...] = 4 * ("configs/teachers/words.yaml",)
LONG, LONG_WIDTH, LONG_PASSES = 250_000, 368, 12  # examples (names.txt has 182,625); for so many


def options_for(role: Role, examples: int) -> dict[str, Any]:
    """The options of a run, of a network or of a teacher of it, for so many training examples.

    Of more than LONG, one wide network learns more in the time of five. Its width grows as the
    fourth root of their number, so its parameters as the square root, as its passes shrink: the
    time of an example stays the same.
    """
    steps = interval = min(max(PASSES * examples // BATCH_SIZE, UPDATES[0]), UPDATES[1])
    # 0.65 up to 3,000 examples, 0.3 less for ten times as many, at least 0.1; in steps of 0.05
    dropout = round(20 * max(0.65 - 0.3 * log10(max(examples, 3000) / 3000), 0.1)) / 20
    batch_size, learning = BATCH_SIZE, dict[str, Any]()
    if role == "network":
        steps, dropout, units, teachers = 2 * steps, 0.1, 200, TEACHERS
        if (times := examples / LONG) > 1:
            units, teachers = 16 * round(LONG_WIDTH * times**0.25 / 16), ()
            steps = int(LONG_PASSES * examples / times**0.5) // (batch_size := 2 * BATCH_SIZE)
        steps, interval = steps - steps % VALIDATIONS, steps // VALIDATIONS
        targets = "teacher" if teachers else "expected"
        learning = {"data.targets": targets, "data.teachers": teachers, "model.n_hidden": units}
    trainer = {"trainer.max_steps": steps, "trainer.val_check_interval": interval}
    return {"data.batch_size": batch_size, "model.dropout": dropout, **learning, **trainer}


def examples_of(data: NamesDataModule) -> int:
    """How many training examples a list has, to a word or so: its characters and end marks."""
    return round(len(data.numbers[0]) / data.corpus.n_words * len(data.corpus.text))

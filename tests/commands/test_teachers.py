"""Teachers read the list as the run that they teach does."""

import yaml

from lit_makemore.cli import main
from tests.conftest import WORDS


def test_teachers_read_the_same_table_and_what_is_odd_in_it_is_said_once(tmp_path, capsys):
    words, teacher = tmp_path / "words.csv", tmp_path / "teacher.yaml"
    rows = "".join(f"{word}é;{i}\n" for i, word in enumerate([*WORDS, "x, y"], 1))
    words.write_bytes(f"name;n\n{rows}".encode("cp1252"))
    few = {"model": {"n_hidden": 8, "n_layer": 1}, "trainer": {"max_steps": 4}}
    teacher.write_text(yaml.dump(few))
    arguments = f"fit --data.path {words} --data.column name --data.count n --data.encoding cp1252"
    arguments += f" --data.targets teacher --data.teachers [{teacher},{teacher}] --name run"
    arguments += f" --runs_dir {tmp_path} --trainer.accelerator cpu --trainer.max_steps 4"
    assert (
        main([*arguments.split(), "--model.n_hidden", "8", "--diagnostics.enabled", "false"]) == 0
    )
    said = capsys.readouterr().err
    assert said.count("31 words, 3 of them in val and 4 in test: ") == 1
    for number in "12":
        assert said.count(f"teacher {number}: val ") == 1
        config = yaml.safe_load((tmp_path / "run/teachers" / number / "config.yaml").read_text())
        read = {key: config["data"][key] for key in ("column", "count", "encoding")}
        assert read == {"column": "name", "count": "n", "encoding": "cp1252"}

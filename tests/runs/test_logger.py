"""The event files of a run."""

from types import SimpleNamespace

from lit_makemore.runs.logger import RunLogger


def test_the_events_of_a_resumed_run_come_last_whatever_the_clock_says(tmp_path, monkeypatch):
    names = []
    for now in (3_000, 3_000, 2_000):  # a run, one of the same second, and on a clock behind
        monkeypatch.setattr("lit_makemore.runs.logger.time", lambda now=now: now)
        logger = RunLogger(SimpleNamespace(path=tmp_path))
        logger.start(1)
        logger.log_metrics({"train/loss": 1.0}, step=1)
        logger.close()
        (new,) = {path.name for path in tmp_path.iterdir()} - {*names}
        names.append(new)
    assert names == sorted(names)

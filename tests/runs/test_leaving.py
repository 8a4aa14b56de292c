"""Several processes that a signal stops disconnect before they wait for each other."""

from types import SimpleNamespace

import torch

from lit_makemore.runs import stopping


def test_a_process_disconnects_before_it_waits_for_those_that_it_started(monkeypatch):
    """By NCCL they end their connection together with this process: they would wait for it."""
    done = []
    child = SimpleNamespace(wait=lambda seconds: done.append("waited"))
    started = [child, child]
    strategy = SimpleNamespace(launcher=SimpleNamespace(procs=started))
    monkeypatch.setattr(
        torch.distributed, "destroy_process_group", lambda: done.append("disconnected")
    )
    stopping._leave(SimpleNamespace(world_size=3, strategy=strategy))
    assert done == ["disconnected", "waited", "waited"]
    assert started == []

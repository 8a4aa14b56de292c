"""The SLURM of the tests does what the tests of training on SLURM take for granted."""

import pytest

pytestmark = pytest.mark.slurm


def test_a_task_on_each_node(cluster):
    task = "echo task $SLURM_PROCID on $SLURMD_NODENAME"
    job = cluster.submit(f"srun bash -c '{task}'", "--nodes=2", "--ntasks-per-node=1")
    cluster.wait(job, "COMPLETED")
    assert sorted(cluster.output(job).split("\n")[:2]) == ["task 0 on n1", "task 1 on n2"]


def test_a_job_is_requeued_then_preempted_then_cancelled(cluster):
    job = cluster.submit("sleep 600", "--nodes=2", "--partition=brief")
    cluster.wait(job, "RUNNING")
    cluster.run("scontrol", "requeue", job)
    cluster.wait(job, "PENDING")
    cluster.wait(job, "RUNNING")
    urgent = cluster.submit("true", "--nodes=2", "--exclusive", "--partition=high")
    cluster.wait(urgent, "COMPLETED")
    assert cluster.show(job)["Restarts"] == "2"
    cluster.wait(job, "RUNNING")
    cluster.run("scancel", job)
    cluster.wait(job, "CANCELLED")

"""A real SLURM on this one machine, for the tests marked `slurm`: two virtual nodes, no systemd.

    with running(folder) as cluster:
        job = cluster.submit("srun hostname", "--nodes=2", "--ntasks-per-node=1")
        cluster.wait(job, "COMPLETED")

munged, slurmctld and two slurmd are children of the test, listen on free ports of 127.0.0.1 and
write into `folder` alone. A job of the partition `high` preempts and requeues jobs of `low`, the
default, and of `brief`, which leaves them no time. Most waits that a real cluster counts in minutes
take seconds here.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "setpriv")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
NODES = ("n1", "n2")
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL")
SOCKET_PATH = 107  # characters in the longest path of a unix socket

SETTINGS = {
    "ProctrackType": "proctrack/linuxproc",  # the default needs cgroups
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_CPU",  # CPUs are counted, memory is not
    "SlurmdParameters": "config_overrides",  # believe CPUs=, whatever the machine has
    "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",  # listen on NodeAddr alone
    "SchedulerType": "sched/builtin",
    "SchedulerParameters": "sched_interval=1,batch_sched_delay=0",  # seconds; else 60 and 3
    "PreemptType": "preempt/partition_prio",
    "PreemptMode": "REQUEUE",
    "MinJobAge": 3600,  # seconds for which scontrol remembers a finished job
    "ReturnToService": 2,  # a node that was down is up as soon as it answers
    "MailProg": "/bin/true",
}


@contextmanager
def running(folder: Path, **options) -> Iterator["Cluster"]:
    """A cluster that runs inside the `with`; the test is skipped where there cannot be one."""
    if not all(shutil.which(program, path=PATH) for program in PROGRAMS):
        pytest.skip("SLURM is not there: apt-get install munge slurmctld slurmd slurm-client")
    cluster = Cluster(folder, **options)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


class Cluster:
    """The nodes n1 and n2, each pretending to have two CPUs.

    A preempted job's steps get SIGTERM, and `grace` seconds later the whole job. slurmctld looks
    for ended time limits every 30 s, for ended graces also every KillWait + MessageTimeout
    (30 + 10). Other settings are lines of slurm.conf: `Cluster(folder, KillWait=5)`.
    """

    def __init__(self, folder: Path, grace: int = 15, **settings: object) -> None:
        self.folder = Path(folder).resolve()
        socket_of_a_step = f"{self.folder}/n1/n1_1234567.4294967291"
        if len(socket_of_a_step) > SOCKET_PATH or re.search(r"[\s%,#]", socket_of_a_step):
            raise ValueError(f"{self.folder}: too long for sockets, or it has one of blank % , #")
        self.grace = grace
        self.settings = SETTINGS | settings
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        self.environment = inherited | {
            "PATH": PATH,
            "SLURM_CONF": f"{self.folder}/slurm.conf",
            "MASTER_ADDR": "127.0.0.1",  # nothing resolves the names n1 and n2
            "GLOO_SOCKET_IFNAME": "lo",
        }
        self._daemons: list[subprocess.Popen] = []

    def start(self, timeout: float = 300) -> None:
        """Starts the daemons; returns when both nodes can take jobs."""
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "slurm.conf").write_text(self._configuration())
        munge = self.folder / "munge"
        try:
            if not Path(f"{munge}.key").exists():
                self.run("mungekey", "--create", f"--keyfile={munge}.key")
            # --force: pytest's folders can only be entered by their owner, which munge refuses
            options = [f"--{x}-file={munge}.{x}" for x in ("key", "seed", "pid")]
            self._daemon("munged", "--foreground", "--force", f"--socket={munge}.socket", *options)
            self._until(Path(f"{munge}.socket").exists, timeout)
            self._daemon("slurmctld", "-D")
            for node in NODES:
                self._daemon("slurmd", "-D", "-N", node)
            self._until(self._up, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the daemons and all that they or the test started in this cluster."""
        for daemon in reversed(self._daemons[:2]):  # slurmctld saves its state, munged its seed
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
        for _ in range(100):  # slurmd would wait for steps, which outlive it: all go at once
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
            if not self.processes():
                break
        else:
            raise RuntimeError(f"still there after SIGKILL: {self.processes()}")
        for daemon in self._daemons:
            daemon.wait()
        self._daemons.clear()

    def run(self, *command: str, **options) -> str:
        """What a command such as scontrol, scancel or srun prints; RuntimeError if it fails."""
        options = {"timeout": 1200} | options
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, **options
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def submit(self, script: str, *options: str) -> str:
        """The id of a new job. It runs in `folder`, where its output goes too, by default."""
        command, script = ["sbatch", "--parsable", *options], f"#!/bin/bash\n{script}\n"
        return self.run(*command, input=script, cwd=self.folder).strip()

    def show(self, job: str) -> dict[str, str]:
        """All that SLURM knows of a job: JobState, Restarts, ExitCode, StdOut, ..."""
        fields = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def state(self, job: str) -> str:
        return self.show(job)["JobState"]

    def output(self, job: str) -> str:
        path = Path(self.show(job)["StdOut"])
        return path.read_text() if path.exists() else ""

    def wait(self, job: str, *states: str, timeout: float = 900) -> str:
        """The first of these states that the job reaches, of the final ones by default."""
        end = time.monotonic() + timeout
        states = states or FINAL
        while (state := self.state(job)) not in states:
            if state in FINAL or time.monotonic() > end:
                raise RuntimeError(f"job {job} is {state}, not {states}:\n{self.output(job)}")
            time.sleep(0.25)
        return state

    def processes(self) -> list[int]:
        """Daemons, steps, tasks, clients: the environment of each names our slurm.conf."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            pid = int(path.parent.name)
            with suppress(OSError):  # it has ended, or is someone else's
                if mark in path.read_bytes().split(b"\0") and pid != os.getpid():
                    found.append(pid)
        return found

    def _configuration(self) -> str:
        host, folder = socket.gethostname().split(".")[0], self.folder
        control, *ports = _free_ports(1 + len(NODES))
        at = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2"
        lines = [
            "ClusterName=test",
            f"SlurmUser={pwd.getpwuid(os.geteuid()).pw_name}",
            f"SlurmdUser={pwd.getpwuid(os.geteuid()).pw_name}",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={control}",
            f"FirstJobId={control}",  # Lightning derives its port from it: no two clusters share it
            f"SlurmctldPidFile={folder}/slurmctld.pid",
            f"StateSaveLocation={folder}/state",
            f"SlurmdPidFile={folder}/%n.pid",
            f"SlurmdSpoolDir={folder}/%n",
            f"SlurmdLogFile={folder}/%n.log",
            # a requeued job waits until its last credential has expired: 120 s by default
            f"AuthInfo=socket={folder}/munge.socket,cred_expire=5",
            *(f"{name}={value}" for name, value in self.settings.items()),
            *(f"NodeName={n} Port={p} {at}" for n, p in zip(NODES, ports, strict=True)),
            f"PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime={self.grace}",
            "PartitionName=brief Nodes=ALL PriorityTier=1 GraceTime=0",
            "PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF",
        ]
        return "\n".join(lines) + "\n"

    def _daemon(self, *command: str) -> None:
        """Starts it; it ends with the test's process, and a Ctrl-C in the terminal spares it."""
        with (self.folder / "daemons.log").open("ab") as log:
            self._daemons.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", *command],
                    env=self.environment,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _up(self) -> bool:
        try:
            states = self.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%T")
        except RuntimeError:  # slurmctld does not listen yet
            return False
        up = [state for state in states.split() if state in ("idle", "mixed", "allocated")]
        return len(up) == len(NODES)

    def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end or any(daemon.poll() is not None for daemon in self._daemons):
                log = (self.folder / "daemons.log").read_text()
                raise RuntimeError(f"SLURM did not start:\n{log[-4000:]}")
            time.sleep(0.1)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def training(job: str) -> dict[int, dict[str, str]]:
    """The environment of each training process of a job, or of the jobs of an array."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            pairs = (path / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended, or is someone else's
            continue
        facts = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        ours = job in (facts.get("SLURM_JOB_ID"), facts.get("SLURM_ARRAY_JOB_ID"))
        if ours and words[0].endswith(b"python") and b"train.py" in words[1]:
            found[int(path.name)] = facts
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

"""A real Slurm of two nodes on this machine, in a folder of its own."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
NODES = ("n1", "n2")
# More than a machine has: the tests look at where tasks go, not at how fast they are.
CPUS_PER_NODE, GPUS_PER_NODE = 16, 2
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

# A requeued job waits for the old credential to expire: two minutes by default, at least these.
_CREDENTIAL_SECONDS = 5

_CONFIG = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credential}
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
PriorityType=priority/basic
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=86400
CompleteWait=0
SlurmctldTimeout=30
SlurmdTimeout=60
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {size}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {size}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE DefaultTime=30 State=UP
PartitionName=gpu Nodes=n1,n2 MaxTime=INFINITE DefaultTime=30 State=UP
"""


def missing() -> str | None:
    """Why this machine cannot run the cluster, or None if it can."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "slurmd has to be started by root"
    return None


def require_cluster() -> None:
    """Skip the test where there is no Slurm; fail it where ``ATTNSEG_REQUIRE_SLURM=1`` is set."""
    reason = missing()
    if reason is None:
        return
    text = f"no test on a real Slurm: {reason}"
    if os.environ.get("ATTNSEG_REQUIRE_SLURM", "0") not in ("", "0"):
        pytest.fail(f"{text}; ATTNSEG_REQUIRE_SLURM=1 forbids to skip it", pytrace=False)
    pytest.skip(text)


class Cluster:
    """Two nodes ``n1`` and ``n2`` of 16 CPUs each, with partitions ``main`` (default) and ``gpu``.

    The GPUs of the nodes, two each, exist for the scheduler only. Everything lies in
    :attr:`folder`, listens on 127.0.0.1, and ends with :meth:`stop`.

    Attributes:
        folder: Configuration, logs, keys and state; gone after :meth:`stop`.
        env: What the commands of Slurm, and whatever calls them, need as environment.
    """

    def __init__(self) -> None:
        # Not pytest's folder: the path of a socket has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": _path(),
        }
        self._ports = _free_ports(1 + len(NODES))
        self._shortened: set[tuple[str, str]] = set()
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 60.0) -> None:
        """Start all daemons and wait until both nodes take jobs.

        Raises:
            RuntimeError: They do not within ``timeout`` seconds; shows the ends of the logs.
        """
        self._write_files()
        # Its input ends with this process, even if that is killed.
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", "tests.slurm.cluster", str(self.folder)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._munged()
        self._daemon("slurmctld", "-D", "-i")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        end = time.monotonic() + timeout
        while (dead := self._dead()) or self._node_states() != ["idle"] * len(NODES):
            if dead or time.monotonic() > end:
                raise RuntimeError(f"Slurm did not start; ended: {dead}\n{self.logs()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End all jobs and daemons, whatever state they are in, and remove the folder."""
        if self._daemons and not self._dead():
            with contextlib.suppress(subprocess.SubprocessError, OSError):
                self.cancel_all()
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=5)
        left = _end_processes(self.folder)
        if self._watcher is not None:
            self._watcher.communicate(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)
        if left:
            raise RuntimeError(f"processes {left} of the test cluster do not end")

    def processes(self) -> list[int]:
        """Every living process of this cluster: daemons, job steps and what they started."""
        return _processes(self.folder)

    def run(
        self, *command: str | Path, check: bool = True, timeout: float = 120.0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command such as ``srun`` or one of our tools in the cluster's environment.

        Further options, ``cwd`` for one, are those of ``subprocess.run``.

        Raises:
            AssertionError: ``check`` is set and the command failed; shows what it wrote.
        """
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            **{"env": self.env, **options},
        )
        assert not check or done.returncode == 0, (
            f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def sbatch(self, script: str | Path, *options: str) -> str:
        """Submit a script, given as its file or its text; returns the job id.

        It runs in :attr:`folder`, where its output is too, if it names no other place.
        """
        if isinstance(script, str):
            file = self.folder / f"job-{secrets.token_hex(4)}.sh"
            file.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}\n")
            script = file
            options = ("--open-mode=append", *options)
        done = self.run("sbatch", "--parsable", *options, script.resolve(), cwd=self.folder)
        return done.stdout.strip().partition(";")[0]

    def output(self, job: str) -> str:
        """What a job sent by :meth:`sbatch` has written so far, over all its restarts."""
        file = self.folder / f"slurm-{job}.out"
        return file.read_text() if file.exists() else ""

    def state(self, job: str) -> str:
        """State of a job (or of task ``job_task`` of an array): PENDING, RUNNING, COMPLETED ...

        Several tasks of an array in different states give all of them, joined by commas.
        """
        lines = self.show(job)
        return ",".join(dict.fromkeys(line["JobState"] for line in lines)) if lines else "UNKNOWN"

    def show(self, job: str) -> list[dict[str, str]]:
        """What ``scontrol show job`` says of a job, or of each task of an array."""
        text = self.run("scontrol", "--oneliner", "show", "job", job, check=False).stdout
        return [
            dict(field.partition("=")[::2] for field in line.split() if "=" in field)
            for line in text.splitlines()
            if line.startswith("JobId=")
        ]

    def exit_status(self, job: str) -> int:
        """What the batch script returned; minus the signal's number where one ended it."""
        status, _, number = self.show(job)[0]["ExitCode"].partition(":")
        return -int(number) if int(number) else int(status)

    def wait(self, job: str, states: str | Iterable[str] = ENDED, timeout: float = 60.0) -> str:
        """Wait until the job (each task of an array) is in one of the states; returns which.

        A requeued job starts anew after two seconds; Slurm's own pause is longer.

        Raises:
            AssertionError: It is not within ``timeout`` seconds; shows the job and the logs.
        """
        wanted = {states} if isinstance(states, str) else set(states)
        end = time.monotonic() + timeout
        while not set((state := self.state(job)).split(",")) <= wanted:
            assert time.monotonic() < end, (
                f"job {job} is {state} after {timeout} s, not {sorted(wanted)}\n"
                f"{self.run('scontrol', 'show', 'job', job, check=False).stdout}\n{self.logs()}"
            )
            if state == "PENDING":
                self.shorten_pauses(job)
            time.sleep(0.1)
        return state

    def shorten_pauses(self, job: str) -> None:
        """Let a job that waits to start anew do so after two seconds; :meth:`wait` does it too."""
        for line in self.show(job):
            key = (line["JobId"], line["Restarts"])
            if line.get("Reason") == "BeginTime" and key not in self._shortened:
                self._shortened.add(key)
                # A node refuses a job that is as old, in seconds, as the end of its last start.
                self.run("scontrol", "update", f"JobId={line['JobId']}", "StartTime=now+2")

    def restarts(self, job: str) -> int:
        """How often the job was requeued."""
        return int(self.show(job)[0]["Restarts"])

    def cancel(self, *jobs: str, signal: str | None = None) -> None:
        """``scancel`` these jobs; with ``signal``, send only that.

        As ``--signal=USR1@120`` does, the signal goes to the tasks of ``srun``, not to the script.
        """
        options = [f"--signal={signal}"] if signal else []
        self.run("scancel", *options, *jobs)

    def cancel_all(self, timeout: float = 15.0) -> None:
        """Cancel every job and wait until its processes are gone, at most this many seconds."""
        self.run("scancel", "--user=root", check=False, timeout=timeout)
        end = time.monotonic() + timeout
        while self.run("squeue", "--noheader", check=False, timeout=timeout).stdout.strip():
            if time.monotonic() > end:
                return
            time.sleep(0.1)

    def logs(self, lines: int = 25) -> str:
        """The last lines of each daemon's log."""
        return "\n".join(
            f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            for file in sorted(self.folder.glob("*.out"))
            if not file.name.startswith("slurm-")
        )

    def _write_files(self) -> None:
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        (self.folder / "slurm.conf").write_text(
            _CONFIG.format(
                # Jobs of two clusters on one machine may have the same number.
                name=self.folder.name.lower().replace("_", "-"),
                host=socket.gethostname().partition(".")[0],
                ports=self._ports,
                folder=self.folder,
                credential=_CREDENTIAL_SECONDS,
                size=f"CPUs={CPUS_PER_NODE} RealMemory=64000 Gres=gpu:{GPUS_PER_NODE}",
            )
        )
        # Any device files do: nobody opens them.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")

    def _munged(self) -> None:
        folder = self.folder
        self._daemon(
            *("munged", "--foreground", "--force", "--num-threads=2"),
            *(f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            f"--seed-file={folder}/munged.seed",
        )
        end = time.monotonic() + 10
        while not (folder / "munge.socket").exists() and time.monotonic() < end:
            time.sleep(0.02)

    def _daemon(self, *command: str) -> None:
        name = command[0] + ("-" + command[-1] if "-N" in command else "")
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons.append(
                subprocess.Popen(
                    command,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in the terminal is for pytest, which then stops the cluster in order.
                    start_new_session=True,
                )
            )

    def _dead(self) -> list[str]:
        return [str(daemon.args) for daemon in self._daemons if daemon.poll() is not None]

    def _node_states(self) -> list[str]:
        # Without a controller, its clients try for seconds.
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._ports[0])):
                return []
        done = self.run("sinfo", "--noheader", "-p", "main", "-N", "-o", "%T", check=False)
        return done.stdout.split()


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A started cluster, which is gone when the block ends, however it ends."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _processes(folder: Path) -> list[int]:
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [process for process in found if process != os.getpid()]


def _end_processes(folder: Path, timeout: float = 10.0) -> list[int]:
    """Kill all processes of the cluster; returns those that live on for so long."""
    end = time.monotonic() + timeout
    while (left := _processes(folder)) and time.monotonic() < end:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    return left


def _path() -> str:
    # The daemons lie in sbin, which is not on everybody's path.
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses, below those that the system hands out by itself."""
    found: list[int] = []
    # Several workers of pytest look for ports at the same time: each begins elsewhere.
    first = os.getpid() % 900 * 10
    for offset in range(9000):
        port = 11000 + (first + offset) % 9000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports for the test cluster")


if __name__ == "__main__":
    # The watcher of a cluster: at the end of pytest, by whatever cause, nothing is to be left.
    sys.stdin.read()
    _end_processes(Path(sys.argv[1]))
    shutil.rmtree(sys.argv[1], ignore_errors=True)

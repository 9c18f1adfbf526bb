"""A Slurm cluster of two nodes, which are processes of this machine: Debian's slurmctld, slurmd and munge."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
CONFIGURATION = """
ClusterName=ggez
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=1
SlurmdTimeout=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory=1000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory=1000
PartitionName=test Nodes=one,two Default=YES State=UP
"""


def is_installed():
    return os.name == "posix" and os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(folder: Path, cpus=1):
    """The cluster; yields the processes of its daemons by name. Its commands find it by SLURM_CONF."""
    (folder / "state").mkdir()
    key, log = folder / "key", (folder / "log").open("wb")
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host, configuration = socket.gethostname().partition(".")[0], folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(3), cpus=cpus)
    )
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    places = {"socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log",
              "seed-file": "seed"}  # fmt: skip
    commands = {
        "munged": ["munged", "--foreground", "--force", f"--key-file={key}", "--num-threads=2",
                   *(f"--{option}={folder / name}" for option, name in places.items())],
        "slurmctld": ["slurmctld", "-D", "-c"],
        "one": ["slurmd", "-D", "-N", "one"],
        "two": ["slurmd", "-D", "-N", "two"],
    }  # fmt: skip
    daemons = {}
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        for name, command in commands.items():
            daemons[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            if name == "munged":
                _wait_for((folder / "munge.sock").exists, folder)
        _wait_for(lambda: _idle() == 2, folder)
        yield daemons
    finally:
        subprocess.run(["scancel", "--me"], check=False, capture_output=True)
        for daemon in reversed(daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        del os.environ["SLURM_CONF"]
        log.close()


def _idle():
    asked = ["sinfo", "-h", "-N", "-o", "%t"]
    return (
        subprocess.run(asked, capture_output=True, text=True, check=False)
        .stdout.split()
        .count("idle")
    )


def _wait_for(ready, folder, seconds=120):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, (folder / "log").read_text(errors="replace")[-3000:]
        time.sleep(0.1)

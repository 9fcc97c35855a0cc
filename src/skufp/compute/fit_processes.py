"""Several processes for one fit: the first plans, locks and writes; the others only take part in the fit.

Lightning's own launcher would start the whole command again for every process, which would then wait for the lock that
the first process holds. So the first process starts the others itself, for the fit alone. Under torchrun or SLURM,
where every process starts with the whole command, the others follow the first: see follow().
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from skufp.schema import Config

JOB = "processes"  # the folder in an unfinished stage's folder through which processes find each other
FOUND = "job.json"
POLL = 0.2  # seconds


class Launch(NamedTuple):
    """This process's ``rank`` of ``world`` on ``nodes`` machines, started by something else as the run ``id``."""

    rank: int
    world: int
    nodes: int
    id: str


def launched() -> Launch | None:
    """Return this process's place if torchrun or SLURM (srun, several tasks) started it; else None."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        run = f"{env['TORCHELASTIC_RUN_ID']}-{env.get('TORCHELASTIC_RESTART_COUNT', '0')}-{env.get('MASTER_PORT', '')}"
        return Launch(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("GROUP_WORLD_SIZE", "1")), run)
    if int(env.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in env and "SLURM_STEP_ID" in env:
        run = f"{env['SLURM_JOB_ID']}-{env['SLURM_STEP_ID']}-{env.get('SLURM_RESTART_COUNT', '0')}"
        return Launch(int(env["SLURM_PROCID"]), int(env["SLURM_NTASKS"]), int(env.get("SLURM_NNODES", "1")), run)
    return None


def process_count(cfg: Config) -> int:
    """Return the number of processes of a fit."""
    if (launch := launched()) is not None:
        return launch.world
    devices = cfg.trainer.devices
    return len(devices) if OmegaConf.is_list(devices) else max(1, int(devices))


@contextmanager
def together(cfg: Config, inputs: Mapping[str, str], out: Path, resume: Path | None) -> Iterator[None]:
    """Let the other processes take part in the fit of ``cfg.stage`` while the context lasts.

    Call it in the first process, after writing the module's initial state into the folder JOB of ``out``. When the
    context ends, the other processes have ended. If one fails, this process ends too, with exit code 1, and prints the
    last lines of the failed process's log.
    """
    folder, launch, port = out / JOB, launched(), _free_port()
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    job = {"launch": launch.id if launch else "", "port": port, "inputs": dict(inputs)}
    unseen = folder / f"{FOUND}.part"
    unseen.write_text(json.dumps(job | {"resume": str(resume) if resume else None}), encoding="utf-8")
    unseen.rename(folder / FOUND)  # at once: the others may look at any time
    if launch is not None:
        with meeting_at(port):
            yield
        return
    world = process_count(cfg)
    shared = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": str(world), "NODE_RANK": "0"}
    others = [_start(folder, shared | {"LOCAL_RANK": str(rank)}) for rank in range(1, world)]
    done = threading.Event()
    threading.Thread(target=_end_with, args=(others, folder, done), daemon=True).start()
    try:
        with meeting_at(port, **shared, LOCAL_RANK="0"):
            yield
        for other in others:
            other.wait()
    finally:
        done.set()
        for other in others:
            other.kill()


@contextmanager
def meeting_at(port: int, **variables: str) -> Iterator[None]:
    """Let a fit's processes find each other at the fit's own port; set further environment variables meanwhile.

    The store that torchrun keeps for the whole run would still hold the addresses of the previous fit.
    """
    variables |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _start(folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that takes part in the fit; its output goes to a file."""
    command = [sys.executable, "-m", "skufp.stages.fit.process", str(folder), str(os.getpid())]
    with (folder / f"process-{env['LOCAL_RANK']}.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _end_with(others: list[subprocess.Popen[bytes]], folder: Path, done: threading.Event) -> None:
    """End this process if another fails: a collective would wait forever."""
    while not done.wait(POLL):
        for rank, other in enumerate(others, 1):
            if other.poll() not in (None, 0) and not done.wait(1.0):
                log = (folder / f"process-{rank}.log").read_text(errors="replace").strip().splitlines()
                print(f"error: process {rank} of the fit failed:", *log[-15:], sep="\n  ", file=sys.stderr, flush=True)
                for one in others:
                    one.kill()
                os._exit(1)


def follow(stages: Iterable[tuple[Path, Callable[[], bool]]], take_part: Callable[[Path], None]) -> None:
    """Take part in every fit of a run, until its last stage is done; the first process does everything else.

    ``stages`` are the stages to run, in order: each one's working folder, and a function that returns whether it is
    done. ``take_part`` is called with the folder of a fit's job.
    """
    launch = launched()
    for work, is_done in stages:
        joined: set[int] = set()
        while not is_done():
            found = work / JOB / FOUND
            if (stat := _stat(found)) and stat not in joined and launch and _launch_of(found) == launch.id:
                joined.add(stat)
                take_part(work / JOB)
            time.sleep(POLL)


def _stat(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _launch_of(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["launch"])
    except (OSError, ValueError, KeyError):
        return None


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone, even if the parent was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

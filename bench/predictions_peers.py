"""The peers of `bench.predictions`: CrypTen and secretflow-spu, each in an environment of its own.

Decides: which versions, how an environment is made (once, in runs/peers, by pip), and what a peer is asked: JOB.json
beside NAME.safetensors files of weights, inputs and logits. Its script in bench/peers imports nothing of this project.
Refuses to know: how a peer computes. One that cannot be installed, or fails, is named on stderr and left out.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "runs" / "peers"
_LONGEST = 900.0  # seconds of one peer's whole job


@dataclass(frozen=True)
class Peer:
    """A system that a user would pick instead.

    Attributes:
        name: for people.
        folder: its environment, in `ENVIRONMENTS`.
        script: in bench/peers.
        installs: arguments of pip, one call after the other.
    """

    name: str
    folder: str
    script: str
    installs: tuple[tuple[str, ...], ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ENVIRONMENTS / self.folder / "bin" / "python"


def peers() -> tuple[Peer, ...]:
    """Both, with the torch and safetensors of this interpreter where they use one."""
    same = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "safetensors", "numpy")]
    return (
        Peer("secretflow-spu 0.9.5", "spu", "spu_party.py", (("spu==0.9.5", same[1]),)),
        # Without dependencies: its own name a package that no longer installs.
        Peer(
            "CrypTen 0.4.1", "crypten", "crypten_party.py",
            ((*same, "omegaconf==2.4.0", "pyyaml"), ("--no-deps", "crypten==0.4.1")),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One case: a batch of a network, timed `repeats` times after a run to warm up."""

    network: str
    batch: int
    repeats: int


@dataclass(frozen=True)
class Measured:
    """What one system took for one case.

    Attributes:
        peer: system and kind.
        network: of `bench.predictions_networks`.
        batch: examples.
        seconds: of each run of a whole batch, the slowest party's.
        error: largest difference of a logit from float64.
        bytes: all parties sent, in one run.
        exchanges: messages one party sends one after the other, in one run; the most of any party.
    """

    peer: str
    network: str
    batch: int
    seconds: tuple[float, ...]
    error: float
    bytes: int
    exchanges: int

    def over(self, delay: float, bytes_a_second: float) -> float:
        """Best seconds here, and what a link adds: a computation, with all three parties sending at once."""
        return min(self.seconds) + self.exchanges * delay + self.bytes / 3 / bytes_a_second


def measured(
    folder: Path, asked: Sequence[Asked], layers: dict[str, list[dict[str, str]]], make: bool
) -> list[Measured]:
    """Every case of every peer that is here.

    Args:
        folder: with NAME.safetensors of each network; the job is written there.
        asked: the cases, in order.
        layers: network -> its layers.
        make: environments that are not there yet are made.
    """
    cases = [vars(case) for case in asked]
    job = folder / "job.json"
    job.write_text(json.dumps({"folder": str(folder), "networks": layers, "cases": cases}))
    found: list[Measured] = []
    for peer in peers():
        if peer.python.exists() or (make and _made(peer)):
            found += _of(peer, job)
        elif not make:
            print(f"no {peer.name}: its environment is not made yet; a full run makes it", file=sys.stderr)
    return found


def _of(peer: Peer, job: Path) -> Iterable[Measured]:
    """What one peer says; nothing where it fails, and its last words."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMP_THREAD_LIMIT": "1",
    }  # SPU spins without the limit
    command = [str(peer.python), str(ROOT / "bench" / "peers" / peer.script), str(job)]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=_LONGEST)
        if process.returncode:
            print(f"{peer.name} failed: {err.strip()[-400:]}", file=sys.stderr)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its parties
        out, _ = process.communicate()
        print(f"{peer.name} did not end within {_LONGEST:.0f} s", file=sys.stderr)
    for line in out.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            yield Measured(**told | {"seconds": tuple(told["seconds"]), "bytes": int(told["bytes"])})


def _made(peer: Peer) -> bool:
    """Whether its environment could be made; nothing is left of one that could not."""
    pip = [str(peer.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    print(f"making the environment of {peer.name} (once) ...", file=sys.stderr, flush=True)
    try:
        venv.create(ENVIRONMENTS / peer.folder, with_pip=True, clear=True)
        for arguments in peer.installs:
            subprocess.run([*pip, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(f"no {peer.name}: it does not install here ({said.strip()[-300:]})", file=sys.stderr)
        shutil.rmtree(ENVIRONMENTS / peer.folder, ignore_errors=True)
        return False
    return True

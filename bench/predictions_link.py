"""Queries of `bench.predictions` over a slow link: each party on a host of its own, as far as the kernel goes.

    unshare -Urnm python -m bench.predictions_link hold FOLDER JOB        started by `over_link`, never by hand

Decides: a star of four network namespaces around one that forwards. Each spoke is two TUN devices with this process
between them, which holds every packet back for half of `DELAY` and lets no more than `BYTES_A_SECOND` through each
way: a message takes `DELAY` from any party to any other. (`tc netem` does the same, on the kernels that have it.)
Refuses to know: what the packets carry.
"""

import contextlib
import fcntl
import json
import os
import selectors
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.predictions.kits import Plan, make_kits, server_folders
from predictions.credentials import SERVERS
from predictions.link import Address

ROOT = Path(__file__).resolve().parent.parent
DELAY = 0.02
BYTES_A_SECOND = 100e6 / 8
_PORT = 7700
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 9000
_HUB = "hub"
Key = tuple[str, int]


def why_not() -> str:
    """Why this machine cannot hold the hosts; empty when it can."""
    probe = (
        "ip link set lo up && test -c /dev/net/tun && ip tuntap add dev probe mode tun && mount -t tmpfs none /run && "
        "ip netns add probe && ip netns exec probe sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'"
    )
    try:
        done = subprocess.run(
            ["unshare", "-Urnm", "sh", "-c", probe], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no network namespaces on this machine ({error})"
    return "" if done.returncode == 0 else f"no network namespaces on this machine ({done.stderr.strip()})"


def over_link(folder: Path, keys: Sequence[Key]) -> dict[Key, tuple[float, float]]:
    """Seconds of a query of each case: the first of its size, with preparation, and the next, online alone.

    Args:
        folder: holds NAME.safetensors of each network (`Case.write`).
        keys: network and batch.
    """
    command = ["unshare", "-Urnm", sys.executable, "-m", "bench.predictions_link", "hold", str(folder)]
    done = subprocess.run(
        [*command, json.dumps(list(keys))], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        print(f"no figures over a slow link: {done.stderr.strip()[-400:]}", file=sys.stderr)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return {(network, batch): (whole, online) for network, batch, whole, online in told}


@dataclass
class Spoke:
    """One link: what comes out of one device goes into the other, later.

    Attributes:
        ends: file descriptors of the two devices.
    """

    ends: tuple[int, int]
    _stopped: threading.Event = field(default_factory=threading.Event)

    def carry(self) -> None:
        """Carry packets until `stop`."""
        selector, due = selectors.DefaultSelector(), {end: deque[tuple[float, bytes]]() for end in self.ends}
        free = dict.fromkeys(self.ends, 0.0)  # when the line to this end has sent what it holds
        for end, other in (self.ends, self.ends[::-1]):
            selector.register(end, selectors.EVENT_READ, other)
        while not self._stopped.is_set():
            waiting = [queue[0][0] for queue in due.values() if queue]
            for key, _ in selector.select(
                max(min(waiting, default=1e9) - time.monotonic(), 0) if waiting else 0.1
            ):
                packet, to = os.read(key.fd, _MTU + 100), key.data
                free[to] = max(free[to], time.monotonic()) + len(packet) / BYTES_A_SECOND
                due[to].append((free[to] + DELAY / 2, packet))
            for end, queue in due.items():
                while queue and queue[0][0] <= time.monotonic():
                    with contextlib.suppress(OSError):  # the far device is not up yet
                        os.write(end, queue.popleft()[1])

    def stop(self) -> None:
        """Carry nothing more."""
        self._stopped.set()


@contextlib.contextmanager
def hosts(count: int) -> Iterator[None]:
    """Namespaces host0, host1 ...: host N is 10.77.N.2 and reaches all others; inside `unshare -Urnm`."""
    _run("mount -t tmpfs none /run")  # where `ip netns` keeps its names
    _run(f"ip netns add {_HUB}")
    subprocess.run(
        ["ip", "netns", "exec", _HUB, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"], check=True
    )
    spokes = [Spoke(_spoke(number)) for number in range(count)]
    carriers = [threading.Thread(target=spoke.carry, daemon=True) for spoke in spokes]
    for carrier in carriers:
        carrier.start()
    try:
        yield
    finally:
        for spoke in spokes:
            spoke.stop()
        for carrier in carriers:
            carrier.join(5)


def _spoke(number: int) -> tuple[int, int]:
    host, near, far = f"host{number}", f"10.77.{number}.1", f"10.77.{number}.2"
    _run(f"ip netns add {host}")
    _run(f"ip -n {host} link set lo up")
    ends: list[int] = []
    for place, own, other in ((_HUB, near, far), (host, far, near)):
        device = f"s{number}{'ab'[len(ends)]}"
        ends.append(_tun(device))
        _run(f"ip link set {device} netns {place}")
        _run(f"ip -n {place} addr add {own} peer {other} dev {device}")
        _run(f"ip -n {place} link set {device} mtu {_MTU} up")
    _run(f"ip -n {host} route add default via {near}")
    return ends[0], ends[1]


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr.strip()}")


def hold(folder: Path, keys: str) -> None:
    """Servers and a client on hosts of their own, until every case was asked twice."""
    addresses = {party: Address(f"10.77.{at}.2", _PORT) for at, party in enumerate(SERVERS)}
    root = folder / "linked"
    with hosts(len(SERVERS) + 1):
        make_kits(Plan(root, addresses, ("bench",), 30), datetime.now(UTC))
        with _serving(root):
            asker = [*_inside(len(SERVERS)), "-m", "bench.predictions_link", "ask", str(folder), keys]
            subprocess.run(asker, cwd=ROOT, check=True)


@contextlib.contextmanager
def _serving(root: Path) -> Iterator[None]:
    started = []
    try:
        for at, kit in enumerate(server_folders(root)):
            command = [*_inside(at), "-m", "app", "predict", "serve", str(kit), "--patience", "60"]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
            server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            started.append(server)
        for server in started:
            if not any(" listens on " in line for line in server.stdout or ()):
                raise SystemExit("a server did not come up on its host")
            threading.Thread(target=_drain, args=(server,), daemon=True).start()
        yield
    finally:
        for server in started:
            server.terminate()
        for server in started:
            server.wait(20)


def _drain(server: "subprocess.Popen[str]") -> None:
    for _ in server.stdout or ():
        pass


def _inside(host: int) -> list[str]:
    return ["ip", "netns", "exec", f"host{host}", sys.executable]


def ask(folder: Path, keys: list[Key]) -> None:
    """Share each network and time its queries, from the client's host; a line of JSON for each case."""
    # Not before: the process that holds the hosts needs no torch.
    from bench.predictions_networks import read
    from bench.predictions_ours import Servers, prepared

    running = Servers(folder / "linked", 1)
    for name in dict.fromkeys(network for network, _ in keys):
        case = read(folder, name)
        running.take(prepared(case))
        for batch in (batch for network, batch in keys if network == name):
            print(json.dumps([name, batch, *running.ask_twice(case, batch)]), flush=True)


def main() -> None:
    """Hold the hosts, or be the client on its own."""
    what, folder, keys = sys.argv[1:]
    if what == "hold":
        hold(Path(folder), keys)
    else:
        ask(Path(folder), [(name, batch) for name, batch in json.loads(keys)])


if __name__ == "__main__":
    main()

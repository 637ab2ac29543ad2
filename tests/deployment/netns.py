"""SuperLink and SuperNodes on hosts of their own, as far as the kernel goes: network namespaces, and slow, lossy links.

Decides: how the hosts are made without being root (user, mount and network namespaces of `unshare`), and what a link
does to packets. Each link is two TUN devices with this process between them: it holds every packet back for `DELAY`
seconds and drops one in a hundred, both ways, so that the kernels' own TCP must cope. (`tc netem` does the same, on
the kernels that have it.)
Refuses to know: what the packets carry.

    unshare -Urnm python -m tests.deployment.netns FOLDER

holds one run so; the test calls it.
"""

import contextlib
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.plain.launched import ROOT
from tests.deployment.stack import Stack, running

NODES = 3
DELAY, LOSS = 0.02, 0.01
LINK_HOST = "link"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_LONGEST_PACKET = 65_536
_PROBE = "ip link set lo up && test -c /dev/net/tun && ip tuntap add dev probe mode tun && mount -t tmpfs none /run"


def why_not() -> str:
    """Why this machine cannot hold the hosts; empty when it can."""
    try:
        done = subprocess.run(
            ["unshare", "-Urnm", "sh", "-c", _PROBE], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no network namespaces on this machine ({error})"
    return "" if done.returncode == 0 else f"no network namespaces on this machine ({done.stderr.strip()})"


@dataclass
class Wire:
    """One link: what comes out of one device goes into the other, later, and not always.

    Attributes:
        ends: file descriptors of the two devices.
        seen: packets that were taken; `lost` of them were dropped.
    """

    ends: tuple[int, int]
    seen: int = 0
    lost: int = 0
    _due: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def carry(self) -> None:
        """Carry packets until `stop`."""
        selector = selectors.DefaultSelector()
        for end, other in (self.ends, self.ends[::-1]):
            selector.register(end, selectors.EVENT_READ, other)
        chance = random.Random(0)
        while not self._stopped.is_set():
            wait = max(self._due[0][0] - time.monotonic(), 0) if self._due else 0.1
            for key, _ in selector.select(wait):
                packet = os.read(key.fd, _LONGEST_PACKET)
                self.seen += 1
                if chance.random() < LOSS:
                    self.lost += 1
                else:
                    heapq.heappush(self._due, (time.monotonic() + DELAY, self.seen, key.data, packet))
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(self._due)
                with contextlib.suppress(OSError):  # the far device is not up yet
                    os.write(end, packet)

    def stop(self) -> None:
        """Carry nothing more."""
        self._stopped.set()


@dataclass(frozen=True)
class Hosts:
    """Namespaces `link`, `node0`, `node1` ...; each node reaches the SuperLink's host by a link of its own.

    Attributes:
        address: of the SuperLink's host, on every link.
        wires: the links.
    """

    address: str
    wires: tuple[Wire, ...]

    def inside(self, name: str) -> tuple[str, ...]:
        """What a command line starts with to run where program `name` belongs; all but nodes are beside the link."""
        return ("ip", "netns", "exec", name if name.startswith("node") else LINK_HOST)


@contextlib.contextmanager
def hosts(nodes: int) -> Iterator[Hosts]:
    """Make the namespaces and carry packets between them; to be called inside `unshare -Urnm`."""
    _run("mount -t tmpfs none /run")  # where `ip netns` keeps its names
    address = "10.77.255.1"
    _run(f"ip netns add {LINK_HOST}")
    for line in ("link set lo up", f"addr add {address}/32 dev lo"):
        _run(f"ip -n {LINK_HOST} {line}")
    wires = tuple(_wire(number, address) for number in range(nodes))
    carriers = [threading.Thread(target=wire.carry, daemon=True) for wire in wires]
    for carrier in carriers:
        carrier.start()
    try:
        yield Hosts(address, wires)
    finally:
        for wire in wires:
            wire.stop()
        for carrier in carriers:
            carrier.join(5)


def _wire(number: int, address: str) -> Wire:
    """The link of one node: device `wN` on both sides, 10.77.N.1 at the SuperLink's host and 10.77.N.2 at the node."""
    name, near, far = f"node{number}", f"10.77.{number}.1", f"10.77.{number}.2"
    _run(f"ip netns add {name}")
    _run(f"ip -n {name} link set lo up")
    ends: list[int] = []
    for host, own, other in ((LINK_HOST, near, far), (name, far, near)):
        device = f"w{number}{'ab'[len(ends)]}"
        ends.append(_tun(device))
        _run(f"ip link set {device} netns {host}")
        _run(f"ip -n {host} addr add {own} peer {other} dev {device}")
        _run(f"ip -n {host} link set {device} mtu 1400 up")
    _run(f"ip -n {name} route add {address}/32 via {near}")
    return Wire((ends[0], ends[1]))


def _tun(name: str) -> int:
    """A TUN device; the descriptor stays here when the device moves to another namespace."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")


def main(folder: Path) -> None:
    """Hold a run of two server rounds over three such links; say in `folder`/wires.json what they carried."""
    with hosts(NODES) as made:
        stack = Stack(folder, NODES, made.address, made.inside)
        with running(stack):
            run = stack.submit(ROOT, f"clients={NODES} rounds=2")
            run.await_end(300)
        carried = [{"seen": wire.seen, "lost": wire.lost} for wire in made.wires]
        (folder / "wires.json").write_text(json.dumps(carried))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

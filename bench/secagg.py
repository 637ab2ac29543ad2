"""The protocol against Flower's own SecAgg+, and against the machine's limit, in one run.

    python -m bench.secagg [--case flower|large|sparse|active|bytes|primitives|all] [--quick] [--json] [--save]

Decides: the cases and what is printed beside each figure: the peer, or a floor (bytes times cipher rate plus
key agreements). Beside the peer, which reads the clock, ours is the clock's too; all other seconds are those of one
core, the processor time of every thread together, which others on the machine hardly change.
Refuses to judge: it prints ratios, and no test looks at a time. Memory is `bench.memory`'s.

`flower` runs the peer's script beside the repository (`../shared/bench/flower_secaggplus.py`) in a process of its
own, on the same n, d, threshold and dropouts; where it is absent the rows have no peer.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from arithmetic.packing import add_packed, pack, packed_size
from arithmetic.residues import word_type, zeros
from bench.report import RESULTS, Row, finish, options_of
from bench.session import Account, Server, run_session
from secagg.bounds import Adversary
from secagg.masks import Mask, MaskSeed, add_masks, empty
from secagg.params import SecAggParams
from secagg.primitives import KeyPair, KeyStream, PrivateKey
from secagg.shamir import rebuild, split

PEER = Path(__file__).resolve().parents[2] / "shared" / "bench" / "flower_secaggplus.py"

_CLOCK = 1e-3  # a process's clock may stand still for less


def flower(quick: bool) -> Iterator[Row]:
    """Both systems on the same input, complete graph, threshold 2/3 of the cohort."""
    n, d, t = (8, 1000, 6) if quick else (100, 100_000, 67)
    for drop in (0.0, 0.1 if not quick else 0.125):
        params = SecAggParams.complete(n, 24, d, 8, t)
        ours = run_session(params, drop)
        peer = _peer(n, d, t, drop)
        what = f"n={n} d={d} t={t} drop={drop:.0%}"
        note = f"floor {_client_floor(params):.4g}"
        yield Row(f"client {what}", ours.client.wall, peer["client"], "s", note)
        yield Row(f"server {what}", ours.server.wall, peer["server"], "s")


def large(quick: bool) -> Iterator[Row]:
    """A million parameters, complete graph: client and server against their floors."""
    n, d, t = (8, 1000, 6) if quick else (100, 1_000_000, 67)
    for drop in (0.0, 0.1 if not quick else 0.125):
        params = SecAggParams.complete(n, 24, d, 8, t)
        account = run_session(params, drop)
        yield from _both(params, drop, account, f"n={n} d={d} t={t} drop={drop:.0%}")


def sparse(quick: bool) -> Iterator[Row]:
    """A thousand clients, k derived for 5 % corrupt and 10 % dropped; the unmasking again with all cores."""
    n, d = (60, 1000) if quick else (1000, 1_000_000)
    params = SecAggParams.derive(n, 0.05, 0.1, Adversary.CURIOUS, 26, d, 8)
    cores = max(2, os.cpu_count() or 1)
    server = Server(params, repeat=(1, cores))
    account = run_session(params, 0.1, server)
    yield from _both(params, 0.1, account, f"n={n} d={d} k={params.neighbours} drop=10%")
    one, many = server.unmasking[1].wall, server.unmasking[cores].wall
    yield Row(f"unmasking on {cores} threads, by the clock", many, one, "s", "peer: one thread")


def _both(params: SecAggParams, drop: float, account: Account, what: str) -> Iterator[Row]:
    note = f"floor {_client_floor(params):.4g}; {account.client.wall:.4g} by the clock"
    yield Row(f"client, one core, {what}", account.client.core, None, "s", note)
    note = f"floor {_server_floor(params, drop):.4g}; {account.server.wall:.4g} by the clock"
    yield Row(f"server, one core, {what}", account.server.core, None, "s", note)


def active(quick: bool) -> Iterator[Row]:
    """What it costs to hold against a server that lies: the peer is the same session against a curious one."""
    n, d, t = (8, 1000, 6) if quick else (100, 100_000, 67)
    params = SecAggParams.complete(n, 24, d, 8, t)
    for drop in (0.0, 0.1 if not quick else 0.125):
        curious = run_session(params, drop)
        ours = run_session(replace(params, adversary=Adversary.ACTIVE, colluders=n // 3), drop)
        what = f"n={n} d={d} t={t} drop={drop:.0%}, against an active server"
        yield Row(f"client {what}", ours.client.core, curious.client.core, "s", "peer: a curious one")
        yield Row(f"server {what}", ours.server.core, curious.server.core, "s", "peer: a curious one")
    mine, theirs = (sum(each.up.values()) + sum(each.down.values()) for each in (ours, curious))
    yield Row(f"bytes of a client {what}", mine / 1e3, theirs / 1e3, "kB", "peer: a curious one; up and down")


def transfer(quick: bool) -> Iterator[Row]:
    """16-bit inputs, k derived: what one client sends, and all its protocol bytes over the 2 an entry it has to say.

    The peer is float32 FedAvg; then Bonawitz et al., CCS 2017, who publish 1.73 for 2^10 clients and 2^20 entries.
    """
    d = 1 << 10 if quick else 1 << 20
    for n, bits in ((32, 24), (64, 26)) if quick else ((256, 24), (1024, 26)):
        params = SecAggParams.derive(n, 0.05, 0.1, Adversary.CURIOUS, bits, d, 8)
        account = run_session(params, 0.0)
        what, up = f"n={n} d={d} k={params.neighbours} b={bits}", sum(account.up.values())
        yield Row(f"up, {what}", up / d, 4.0, "B/entry", f"packed residues alone {bits / 8:.5g}")
        both = up + sum(account.down.values())
        beside = both - packed_size(d, bits)
        spread = ", ".join(f"{at} {account.up[at]}/{account.down[at]}" for at in account.up)
        peer = 1.73 if (n, d) == (1024, 1 << 20) else None
        note = f"residues alone {bits / 16:.5g}; {beside} B beside them; B up/down: {spread}"
        yield Row(f"up and down over 2 B an entry, {what}", both / (2 * d), peer, "x", note)


def primitives(quick: bool) -> Iterator[Row]:
    """Mask stream against the cipher alone; packing; Shamir against Flower's."""
    d = 1000 if quick else 1_000_000
    keys = [os.urandom(32) for _ in range(100)]
    cipher = 4e-9 * d * len(keys) / _seconds(lambda: _expand(keys, 4 * d))
    total, masks = empty(d, 0, 32), [Mask(MaskSeed(key, key), 1) for key in keys]
    stream = 4e-9 * d * len(keys) / _seconds(lambda: add_masks(total, masks))
    yield Row(f"mask stream, d={d}", stream, cipher, "GB/s", "of AES-CTR alone")
    for bits in (12, 24, 26, 33):  # at 8, 16, 32 and 64 the words are the bytes
        words = np.arange(d).astype(word_type(bits))
        packed, running = bytes(pack(words.copy(), bits)), zeros(d, bits)
        size = len(packed) / 1e6
        yield Row(f"pack to {bits} bits", size / _seconds(partial(pack, words, bits)), None, "MB/s")
        taken = _seconds(partial(add_packed, running, packed, bits))
        yield Row(f"unpack {bits} bits and add", size / taken, None, "MB/s")
    yield from _shamir(20 if quick else 1000, 14 if quick else 667)


def _shamir(n: int, t: int) -> Iterator[Row]:
    from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares

    secret = os.urandom(32)
    shares: dict[int, int] = {}
    ours = _seconds(lambda: shares.update(split(secret, range(1, n + 1), t, os.urandom)))
    theirs: list[bytes] = []
    peer = _seconds(lambda: theirs.extend(create_shares(secret, t, n)), least=0)
    yield Row(f"Shamir split n={n} t={t}", ours, peer, "s")
    chosen = dict(list(shares.items())[:t])
    again = _seconds(lambda: [rebuild(chosen) for _ in range(n)], least=0)
    one = _seconds(lambda: combine_shares(theirs[:t]), least=0)
    yield Row(f"Shamir {n} recoveries t={t}", again, one * n, "s", "peer: one, times n")


def _peer(n: int, d: int, t: int, drop: float) -> dict[str, float | None]:
    """Seconds of the peer's sides; None where it is absent."""
    if not PEER.exists():
        return {"client": None, "server": None}
    command = [sys.executable, str(PEER), *map(str, (n, d, n, t, drop))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {side: found[f"{side}_ms"] / 1e3 for side in ("client", "server")}


def _seconds(run: Callable[[], object], least: float = 0.2) -> float:
    """Seconds of one core that one run takes: the best of what fits in `least` seconds, at least one.

    What takes less than the clock can tell is run several times in a row.
    """
    best, count, end = float("inf"), 1, time.process_time() + least
    while True:
        started = time.process_time()
        for _ in range(count):
            run()
        now = time.process_time()
        if now - started < _CLOCK:
            count *= 2
            continue
        best = min(best, (now - started) / count)
        if now >= end:
            return best


def _expand(keys: list[bytes], size: int) -> None:
    """The cipher alone: `size` bytes of each key's stream, a piece at a time, as masks are expanded."""
    plain, buffer = memoryview(bytes(1 << 16)), memoryview(bytearray(1 << 16))
    for key in keys:
        stream = KeyStream(key)
        for start in range(0, size, 1 << 16):
            piece = min(1 << 16, size - start)
            stream.read_into(plain[:piece], buffer[:piece])


def _rates() -> tuple[float, float]:
    """Seconds a byte of AES-CTR and seconds an X25519 agreement take, here and now."""
    key, pair = PrivateKey(os.urandom(32)), KeyPair.generate(os.urandom)
    cipher = _seconds(lambda: _expand([pair.private], 1 << 24)) / (1 << 24)
    return cipher, _seconds(lambda: [key.agree(pair.public) for _ in range(100)]) / 100


def _client_floor(params: SecAggParams) -> float:
    """Keystream of k + 1 masks, and three agreements a neighbour (two channels, one mask)."""
    cipher, agreement = _rates()
    width = word_type(params.modulus_bits).itemsize * params.tensor_length
    return (params.neighbours + 1) * width * cipher + 3 * params.neighbours * agreement


def _server_floor(params: SecAggParams, drop: float) -> float:
    """Keystream of one mask a survivor, and of one a surviving neighbour of each dropped client with its
    agreement.
    """
    cipher, agreement = _rates()
    width = word_type(params.modulus_bits).itemsize * params.tensor_length
    gone = int(params.cohort * drop)
    pairs = gone * params.neighbours * (1 - drop)
    return (params.cohort - gone + pairs) * width * cipher + pairs * agreement


CASES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "flower": flower,
    "large": large,
    "sparse": sparse,
    "active": active,
    "bytes": transfer,
    "primitives": primitives,
}


def main() -> None:
    """Measure the chosen cases."""
    options = options_of("The protocol against Flower's own SecAgg+.", case=("all", *CASES)).parse_args()
    chosen = [case for name, case in CASES.items() if options.case in ("all", name)]
    name = "secagg" if options.case == "all" else f"secagg-{options.case}"
    rows = finish(name, (row for case in chosen for row in case(options.quick)), options)
    if options.save and (compared := [row for row in rows if row.faster]):
        # Only here: matplotlib is in the extra `bench`, and measuring does without it.
        from bench.pictures import bars

        labels, numbers = [row.case for row in compared], [row.faster for row in compared]
        bars(labels, numbers, "How many times faster, or smaller", "times", RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()

"""The protocol against Flower's own SecAgg+, and against the machine's limit, in one run.

    python -m bench.secagg [--case flower|large|sparse|primitives|all] [--quick] [--json]

Decides: the cases and what is printed beside each figure: the peer, or a floor (bytes times cipher rate plus
key agreements).
Refuses to judge: it prints ratios, and no test looks at a time.

`flower` runs the peer's script beside the repository (`../shared/bench/flower_secaggplus.py`) in a process of its
own, on the same n, d, threshold and dropouts; where it is absent the rows have no peer.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from arithmetic.packing import pack, unpack
from arithmetic.residues import word_type
from bench.report import Row, finish, options_of
from bench.session import Account, run_session
from secagg.bounds import Adversary
from secagg.masks import Mask, MaskSeed, add_masks, empty
from secagg.params import SecAggParams
from secagg.primitives import KeyPair, KeyStream, PrivateKey
from secagg.shamir import rebuild, split

PEER = Path(__file__).resolve().parents[2] / "shared" / "bench" / "flower_secaggplus.py"


def flower(quick: bool) -> Iterator[Row]:
    """Both systems on the same input, complete graph, threshold 2/3 of the cohort."""
    n, d, t = (8, 1000, 6) if quick else (100, 100_000, 67)
    for drop in (0.0, 0.1 if not quick else 0.125):
        params = SecAggParams.complete(n, 24, d, 8, t)
        ours = run_session(params, drop)
        peer = _peer(n, d, t, drop)
        what = f"n={n} d={d} t={t} drop={drop:.0%}"
        note = f"floor {_client_floor(params):.4g}"
        yield Row(f"client {what}", ours.client, peer and peer["client_ms"] / 1e3, "s", note)
        yield Row(f"server {what}", ours.server, peer and peer["server_ms"] / 1e3, "s")


def large(quick: bool) -> Iterator[Row]:
    """A million parameters, complete graph: client and server against their floors."""
    n, d, t = (8, 1000, 6) if quick else (100, 1_000_000, 67)
    for drop in (0.0, 0.1 if not quick else 0.125):
        params = SecAggParams.complete(n, 24, d, 8, t)
        account = run_session(params, drop)
        what = f"n={n} d={d} t={t} drop={drop:.0%}"
        yield Row(f"client {what}", account.client, None, "s", f"floor {_client_floor(params):.4g}")
        yield Row(f"server {what}", account.server, None, "s", f"floor {_server_floor(params, drop):.4g}")
        yield Row(f"bytes of a client {what}", account.up + account.down, None, "B", _expansion(account, d))


def sparse(quick: bool) -> Iterator[Row]:
    """A thousand clients, k derived for 5 % corrupt and 10 % dropped; one thread, then all cores."""
    n, d = (60, 1000) if quick else (1000, 1_000_000)
    params = SecAggParams.derive(n, 0.05, 0.1, Adversary.CURIOUS, 32, d, 8)
    what = f"n={n} d={d} k={params.neighbours} drop=10%"
    one = run_session(params, 0.1)
    yield Row(f"server {what}", one.server, None, "s", f"floor {_server_floor(params, 0.1):.4g}")
    yield Row(f"client {what}", one.client, None, "s", f"floor {_client_floor(params):.4g}")
    cores = os.cpu_count() or 1
    many = run_session(params, 0.1, workers=cores)
    yield Row(
        f"r4 of the server, {cores} threads", many.seconds["server", "r4"], one.seconds["server", "r4"], "s"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Row(f"peak of the whole process, {n} clients in it", peak, None, "MB")


def primitives(quick: bool) -> Iterator[Row]:
    """Mask stream against the cipher alone; packing; Shamir against Flower's."""
    d = 1000 if quick else 1_000_000
    keys = [os.urandom(32) for _ in range(100)]
    cipher = 4e-9 * d * len(keys) / _seconds(lambda: [_expand(key, 4 * d) for key in keys])
    total, masks = empty(d, 0, 32), [Mask(MaskSeed(key, key), 1) for key in keys]
    stream = 4e-9 * d * len(keys) / _seconds(lambda: add_masks(total, masks))
    yield Row(f"mask stream, d={d}", stream, cipher, "GB/s", "of AES-CTR alone")
    for bits in (16, 24, 32, 64):
        words = np.arange(d).astype(word_type(bits))
        packed = pack(words, bits)
        size = len(packed) / 1e6
        yield Row(f"pack to {bits} bits", size / _seconds(lambda w=words, b=bits: pack(w, b)), None, "MB/s")
        yield Row(
            f"unpack {bits} bits", size / _seconds(lambda p=packed, b=bits: unpack(p, d, b)), None, "MB/s"
        )
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


def _peer(n: int, d: int, t: int, drop: float) -> dict[str, float] | None:
    if not PEER.exists():
        return None
    command = [sys.executable, str(PEER), *map(str, (n, d, n, t, drop))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _seconds(run: Callable[[], object], least: float = 0.2) -> float:
    """Best of as many runs as fit in `least` seconds, at least one."""
    best, end = float("inf"), time.perf_counter() + least
    while True:
        started = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - started)
        if now >= end:
            return best


def _expand(key: bytes, size: int) -> None:
    zeros, buffer = memoryview(bytes(1 << 16)), memoryview(bytearray(1 << 16))
    stream = KeyStream(key)
    for start in range(0, size, 1 << 16):
        piece = min(1 << 16, size - start)
        stream.read_into(zeros[:piece], buffer[:piece])


def _rates() -> tuple[float, float]:
    """Seconds a byte of AES-CTR and seconds an X25519 agreement take, here and now."""
    key, pair = PrivateKey(os.urandom(32)), KeyPair.generate(os.urandom)
    cipher = _seconds(lambda: _expand(pair.private, 1 << 24)) / (1 << 24)
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


def _expansion(account: Account, d: int) -> str:
    return f"{account.up / d:.3g} bytes an entry up; float32 FedAvg sends 4"


CASES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "flower": flower,
    "large": large,
    "sparse": sparse,
    "primitives": primitives,
}


def main() -> None:
    """Measure the chosen cases."""
    options = options_of("The protocol against Flower's own SecAgg+.", case=("all", *CASES)).parse_args()
    chosen = [case for name, case in CASES.items() if options.case in ("all", name)]
    name = "secagg" if options.case == "all" else f"secagg-{options.case}"
    finish(name, (row for case in chosen for row in case(options.quick)), options)


if __name__ == "__main__":
    main()

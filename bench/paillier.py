"""One iteration of the hospitals' ring against python-paillier, in the same run.

    python -m bench.paillier [--peer-python PATH] [--quick] [--json] [--save]

Decides: the case, 5 hospitals by 11 values under a key of 3072 bits, and what counts: on our side the whole protocol
with all its bytes (joining, nonces, signatures, sealed hops, decryption), on the peer's the bare arithmetic of its own
example (encrypt, add, decrypt; one ciphertext a value, gmpy2 underneath). Seconds are those of one core, the best of
a few.
Refuses to judge: it prints ratios, and no test looks at a time.

What is done once for a key is printed by itself: the key pair, and each hospital's table of powers. Two more lines show
the iteration with the tables' making in it, and without tables.

python-paillier is under the GPL and no dependency. Its interpreter is the one that --peer-python or CHORUS_PEER_PYTHON
names, this one if it has it, or one that this command makes in runs/peers/paillier; without the network the rows have
no peer.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.report import Row, finish, options_of
from paillier.keys import DEFAULT_BITS, LEAST_BITS, PrivateKey
from paillier.packing import Packing
from paillier.randomisers import FixedBase, Randomiser, fresh_powers
from paillier.ring.holder.r0_open import open_ring
from paillier.ring.holder.r1_circulate import circulate, pass_on, propose
from paillier.ring.holder.r2_total import finish as open_total
from paillier.ring.hospital.r0_join import join
from paillier.ring.hospital.r1_reveal import reveal
from paillier.ring.hospital.r2_hop import hand_on
from paillier.ring.messages import (
    HopRequested,
    HopSealed,
    Invitation,
    Joined,
    Revealed,
    RingProposed,
    SumHanded,
)
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from secagg.signatory import Signatory

ROOT = Path(__file__).resolve().parent.parent
HOSPITALS, VALUES, TARGET = 5, 11, 20
PEER_ENVIRONMENT = ROOT / "runs" / "peers" / "paillier"
PEER_PACKAGES = ("phe==1.5.0", "gmpy2==2.3.2")
_REPEATS = 5
# As in python-paillier's examples/federated_learning_with_encryption.py, hospital by hospital.
_PEER = """
import json, sys, time
from phe import paillier
from phe.util import HAVE_GMP
bits, repeats, vectors = json.loads(sys.argv[1])
began = time.process_time()
public, private = paillier.generate_paillier_keypair(n_length=bits)
keys, best = time.process_time() - began, float("inf")
for _ in range(repeats):
    began = time.process_time()
    sums = [public.encrypt(value) for value in vectors[0]]
    for vector in vectors[1:]:
        sums = [total + public.encrypt(value) for total, value in zip(sums, vector)]
    found = [private.decrypt(total) for total in sums]
    best = min(best, time.process_time() - began)
print(json.dumps({"keys": keys, "ring": best, "sums": found, "gmp": HAVE_GMP}))
"""


@dataclass(frozen=True)
class Peer:
    """Seconds of python-paillier."""

    keys: float | None = None
    ring: float | None = None


def rows(options: Namespace) -> Iterator[Row]:
    """Preparation, then the iteration."""
    bits, repeats = (LEAST_BITS, 1) if options.quick else (DEFAULT_BITS, _REPEATS)
    vectors = [
        [round((-1) ** row * (at + 1) * 12.375 / (row + 1), 3) for at in range(VALUES)]
        for row in range(HOSPITALS)
    ]
    peer = _peer(options, bits, vectors)
    pairs: list[PrivateKey] = []
    seconds = _best(lambda: pairs.append(PrivateKey.generate(os.urandom, bits)), repeats)
    yield Row(
        f"once: key pair of {bits} bits", seconds, peer.keys, "s", "time varies: primes are found by chance"
    )
    federation, pair = Federation.of(pairs[-1]), pairs[-1]
    tables: list[FixedBase] = []
    seconds = _best(lambda: tables.append(FixedBase(pair.public, os.urandom)), max(repeats, HOSPITALS))
    yield Row("once: table of one hospital", seconds, None, "s", f"{_megabytes(tables[0]):.2g} MB")
    what = f"{HOSPITALS} hospitals by {VALUES} values at {bits} bits"
    drawn: list[Randomiser] = [*tables[:HOSPITALS]]
    iteration = federation.seconds(vectors, drawn, repeats)
    yield Row(f"iteration, {what}", iteration, peer.ring, "s", f"target: {TARGET}x")
    yield Row(
        "iteration and all tables", iteration + HOSPITALS * seconds, peer.ring, "s", "a first iteration"
    )
    plain = [fresh_powers(pair.public, os.urandom)] * HOSPITALS
    iteration = federation.seconds(vectors, plain, repeats)
    yield Row("iteration without tables", iteration, peer.ring, "s", "r^n anew for every hop")


@dataclass(frozen=True)
class Federation:
    """A roster of hospitals, and a key holder."""

    pair: PrivateKey
    roster: Roster
    places: tuple[Signatory, ...]
    packing: Packing

    @classmethod
    def of(cls, pair: PrivateKey) -> "Federation":
        """Fresh identities."""
        keys = [SigningKey.generate(os.urandom) for _ in range(HOSPITALS)]
        members = tuple(Member(f"hospital-{number}", key.public) for number, key in enumerate(keys, start=1))
        roster = Roster("bench", 1, 0, members)
        packing = Packing(VALUES, HOSPITALS, 1 << 20, 32, pair.public.bits)
        return cls(pair, roster, tuple(Signatory.of(roster, key) for key in keys), packing)

    def seconds(self, vectors: list[list[float]], randomisers: list[Randomiser], repeats: int) -> float:
        """Processor seconds of the fastest of some sessions."""
        return _best(lambda: self.iterate(vectors, randomisers), repeats)

    def iterate(self, vectors: list[list[float]], randomisers: list[Randomiser]) -> None:
        """One session from invitation to sum, every message as bytes.

        Raises:
            SystemExit: a sum that is not the sum; never seen.
        """
        members = range(1, HOSPITALS + 1)
        pinned = self.pair.public.digest
        opened, invited = open_ring(
            self.roster, members, 1, bytes(32), self.pair.public, self.packing, os.urandom
        )
        terms, invitation = opened.terms, invited.to_bytes()
        joined = {
            place.number: join(Invitation.from_bytes(invitation), place, pinned, os.urandom)
            for place in self.places
        }
        answers = {who: Joined.from_bytes(answer.to_bytes()) for who, (_, answer) in joined.items()}
        revealing, proposal = propose(opened, answers)
        proposed = proposal.to_bytes()
        closed = {
            place.number: reveal(joined[place.number][0], RingProposed.from_bytes(proposed), place)
            for place in self.places
        }
        nonces = {who: Revealed.from_bytes(answer.to_bytes()) for who, (_, answer) in closed.items()}
        state, asked = circulate(revealing, nonces)
        while True:
            who = state.turn - 1
            request = HopRequested.from_bytes(asked.to_bytes(), terms)
            _, reply = hand_on(
                closed[state.turn][0], request, vectors[who], randomisers[who], self.places[who]
            )
            if isinstance(reply, SumHanded):
                break
            state, asked = pass_on(state, HopSealed.from_bytes(reply.to_bytes(), terms))
        total = open_total(state, SumHanded.from_bytes(reply.to_bytes(terms), terms), self.pair)
        _check(total, vectors)


def _check(total: list[float], vectors: list[list[float]]) -> None:
    for found, column in zip(total, zip(*vectors, strict=True), strict=True):
        if abs(found - sum(column)) > 1e-6:
            raise SystemExit("the sum is wrong; its time says nothing")


def _best(run: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best


def _megabytes(table: FixedBase) -> float:
    return table.size / 1e6


def _peer(options: Namespace, bits: int, vectors: list[list[float]]) -> Peer:
    """What python-paillier takes for the same; nothing where it is absent, and a line that says so."""
    python = _interpreter(options)
    if python is None:
        return Peer()
    arguments = json.dumps([bits, 1 if options.quick else 2, vectors])
    done = subprocess.run([python, "-c", _PEER, arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no peer: {python} does not run python-paillier", file=sys.stderr)
        return Peer()
    found = json.loads(done.stdout)
    _check(found["sums"], vectors)
    if not found["gmp"]:
        print("the peer runs without gmpy2: give it that too, or the comparison is not fair", file=sys.stderr)
        return Peer()
    return Peer(found["keys"], found["ring"])


def _interpreter(options: Namespace) -> str | None:
    named = options.peer_python or os.environ.get("CHORUS_PEER_PYTHON", "")
    if named:
        return str(named)
    if importlib.util.find_spec("phe") is not None:
        return sys.executable
    made = PEER_ENVIRONMENT / "bin" / "python"
    if made.exists() or (not options.quick and _make_environment(made)):
        return str(made)
    print(
        "no peer: python-paillier is not here; name an interpreter that has it with --peer-python",
        file=sys.stderr,
    )
    return None


def _make_environment(python: Path) -> bool:
    """Whether an environment with the peer could be made; nothing is left of one that could not."""
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PEER_PACKAGES]
    try:
        venv.create(PEER_ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run(install, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(PEER_ENVIRONMENT, ignore_errors=True)
        return False
    return True


def main() -> None:
    """Measure."""
    parser = options_of("The hospitals' ring against python-paillier.")
    parser.add_argument("--peer-python", default="", help="an interpreter that has python-paillier")
    options = parser.parse_args()
    finish("paillier", rows(options), options)


if __name__ == "__main__":
    main()

"""The whole protocol a second time, from docs/protocol.md, over plain integers: a referee that shares no code.

A session is a dictionary as `tests/vectors/kit/<session>/session.json` has it, with the entropy of every step. `run`
computes every request, reply and kept secret's effect, both sides, and the sum. It checks nothing: it is for honest
sessions. Only X25519, Ed25519, AES and HMAC come from a library (pycryptodome, where the product uses another).
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

P = 2**256 + 297
SCALAR_BITS = 64
Sealed = dict[int, dict[int, bytes]]


def number(value: int, width: int) -> bytes:
    return value.to_bytes(width, "big")


def digest(label: str, *parts: bytes) -> bytes:
    text = b"chorus/" + label.encode() + b"\x00"
    return hashlib.sha256(text + b"".join(number(len(part), 8) + part for part in parts)).digest()


def derive(secret: bytes, label: str, context: bytes, *numbers: int) -> bytes:
    info = b"chorus/" + label.encode() + b"".join(number(each, 8) for each in numbers) + context
    pseudorandom = hmac.new(context, secret, "sha256").digest()
    return hmac.new(pseudorandom, info + b"\x01", "sha256").digest()


def public(private: bytes) -> bytes:
    return bytes(import_x25519_private_key(private).public_key().export_key(format="raw"))


def agree(private: bytes, peer: bytes) -> bytes:
    own, other = import_x25519_private_key(private), import_x25519_public_key(peer)
    return bytes(key_agreement(static_priv=own, static_pub=other, kdf=lambda raw: raw))


def sign(identity: bytes, statement: bytes) -> bytes:
    return bytes(eddsa.new(ECC.construct(curve="Ed25519", seed=identity), "rfc8032").sign(statement))


def word_bits(bits: int) -> int:
    return next(width for width in (8, 16, 32, 64) if width >= bits)


def stream(key: bytes, count: int, bits: int) -> list[int]:
    """`count` little-endian words, of the least width that holds `bits`, of AES-256-CTR from a zero counter."""
    width = word_bits(bits) // 8
    octets = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=bytes(16)).encrypt(bytes(width * count))
    return [int.from_bytes(octets[at : at + width], "little") for at in range(0, len(octets), width)]


def pack(residues: Iterable[int], bits: int) -> bytes:
    string = length = 0
    for residue in residues:
        string |= residue % 2**bits << length
        length += bits
    return string.to_bytes(-(-length // 8), "little")


def unpack(data: bytes, count: int, bits: int) -> list[int]:
    string = int.from_bytes(data, "little")
    return [string >> at * bits & 2**bits - 1 for at in range(count)]


def bitmap(members: Iterable[int], size: int) -> bytes:
    string = sum(1 << index - 1 for index in members)
    return string.to_bytes(-(-size // 8), "little")


def listed(entries: Mapping[int, bytes]) -> bytes:
    body = b"".join(number(index, 4) + entry for index, entry in sorted(entries.items()))
    return number(len(entries), 4) + body


def shares(secret: bytes, holders: list[int], threshold: int, noise: bytes) -> dict[int, int]:
    """f(holder) for f = secret + c_1 x + ..., the coefficients 64 bytes of noise each."""
    drawn = [int.from_bytes(noise[64 * at : 64 * at + 64], "big") for at in range(threshold - 1)]
    polynomial = [int.from_bytes(secret, "big"), *drawn]
    return {x: sum(c * x**power for power, c in enumerate(polynomial)) % P for x in holders}


def interpolated(points: Mapping[int, int]) -> bytes:
    """f(0)."""
    total = 0
    for x, y in points.items():
        weight = 1
        for other in points:
            if other != x:
                weight = weight * other * pow(other - x, -1, P) % P
        total += y * weight
    return number(total % P, 32)


def add(total: tuple[list[int], list[int]], mask: tuple[list[int], list[int]], sign_: int) -> None:
    for part in (0, 1):
        total[part][:] = [t + sign_ * m for t, m in zip(total[part], mask[part], strict=True)]


@dataclass
class Person:
    """One client as everybody sees it in the end."""

    identity: bytes
    tensor: list[int]
    scalars: list[int]
    private: list[bytes] = field(default_factory=list)  # mask key, channel key
    keys: bytes = b""  # both public halves
    credential: bytes = b""
    seed: bytes = b""
    commitment: bytes = b""


class Mini:
    """A session.

    Attributes:
        said: (protocol round, client) -> reply; `asked` the same of requests; `total`: tensor and scalars, signed.
        survivors: clients in the sum.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        entropy: Mapping[tuple[str, int], bytes],
        carried: Mapping[int, list[bytes]],
    ) -> None:
        """`carried`: private keys that clients had made in the session before."""
        self.about, self.entropy, self.carried = about, entropy, carried
        self.n_planned, self.threshold, self.k = about["cohort"], about["threshold"], about["neighbours"]
        self.bits, self.active = about["modulus_bits"], about["adversary"] == "active"
        self.complete = self.k == self.n_planned - 1
        self.own_share = self.complete or not self.active
        self.identifier = bytes.fromhex(about["session"])
        self.people = {
            int(client): Person(
                bytes.fromhex(each["identity"]), each["vector"]["tensor"], each["vector"]["scalars"]
            )
            for client, each in about["clients"].items()
        }
        self.asked: dict[tuple[str, int], bytes] = {}
        self.said: dict[tuple[str, int], bytes] = {}
        self.next_private: dict[int, list[bytes]] = {}

    def there(self, protocol_round: str) -> list[int]:
        """Clients that are not gone by then; whoever is gone in a protocol round is gone in all later ones."""
        order = ["r0", "r1", "r2", "r3", "r4", "never"]
        drops = self.about["drops"]
        return [
            client for client in sorted(self.people)
            if order.index(drops.get(str(client), "never")) > order.index(protocol_round)
        ]  # fmt: skip

    def run(self) -> None:
        self._advertise()
        self._announce()
        sealed = self._share()
        self._mask(sealed)
        self._sign()
        self._reveal()
        self._unmask()

    def _params(self) -> bytes:
        about = self.about
        small = (self.n_planned, self.threshold, self.k, about["min_survivors"])
        return (
            b"\x50\x02" + b"".join(number(each, 4) for each in small) + number(self.bits, 1)
            + number(about["tensor_length"], 8) + number(about["scalar_length"], 8)
            + number(int(self.active), 1) + number(about["colluders"], 4)
        )  # fmt: skip

    def _roster(self) -> tuple[bytes, dict[bytes, int]]:
        """Its digest, and the number of each identity key."""
        table = self.about["roster"]
        name = table["federation"].encode()
        data = (
            b"\x30\x01"
            + number(len(name), 1)
            + name
            + number(table["serial"], 4)
            + number(table["not_after"], 8)
        )
        data += number(len(table["members"]), 4)
        for member in table["members"]:
            name = member["name"].encode()
            data += number(len(name), 1) + name + bytes.fromhex(member["key"]) + number(member["revoked"], 1)
        numbers = {bytes.fromhex(member["key"]): at for at, member in enumerate(table["members"], 1)}
        return digest("roster", data), numbers

    def _vouch(self, person: Person, keys: bytes, role: bytes, origin: bytes) -> bytes:
        if not self.active:
            return b"\x00"
        roster, numbers = self._roster()
        own = ECC.construct(curve="Ed25519", seed=person.identity).public_key().export_key(format="raw")
        member = number(numbers[own], 4)
        signed = digest("signed keys", roster, origin, role, member, keys)
        return b"\x01" + member + sign(person.identity, signed)

    def _advertise(self) -> None:
        """r0; or the keys that came with the session before."""
        self.header = self.identifier + number(self.about["server_round"], 8) + self._params()
        finished = bytes.fromhex(self.about["ahead"]["finished"])
        ahead = {int(client) for client in self.about["ahead"]["keys"]}
        for client in self.there("r0"):
            person = self.people[client]
            if client in ahead:
                person.private, role, origin = self.carried[client], b"ahead", finished
            else:
                drawn = self.entropy["r0", client]
                person.private, role, origin = [drawn[:32], drawn[32:64]], b"invited", self.identifier
            person.keys = public(person.private[0]) + public(person.private[1])
            person.credential = self._vouch(person, person.keys, role, origin)
            if client not in ahead:
                self.asked["r0", client] = b"\x10\x02" + self.header
                self.said["r0", client] = b"\x11\x02" + person.keys + person.credential

    def _announce(self) -> None:
        """Indices, graph, context; r1's requests."""
        self.cohort = dict(enumerate(self.there("r0"), 1))
        self.n = len(self.cohort)
        people = {index: self.people[client] for index, client in self.cohort.items()}
        shown = digest("cohort", *(person.keys for person in people.values()))
        self._draw_graph(digest("graph", self.identifier, shown))
        behind, stand = b"", b""
        if self.active:
            roster, _ = self._roster()
            members = b"".join(person.credential[1:5] for person in people.values())
            behind = roster + members + b"".join(person.credential[5:] for person in people.values())
            stand = digest("standing", roster, members)
        self.context = digest(
            "context", b"chorus secagg 3", self.identifier, number(self.about["server_round"], 8), self._params(),
            self.graph, shown, bytes.fromhex(self.about["model"]), bytes.fromhex(self.about["config"]), stand,
        )  # fmt: skip
        for index in self.cohort:
            seen = set(people) if self.active else {index, *self.near[index]}
            table = listed({each: people[each].keys for each in seen})
            body = number(self.n, 4) + shown + table + behind
            self.asked["r1", self.cohort[index]] = b"\x12\x02" + self.header + body

    def _draw_graph(self, seed: bytes) -> None:
        """Everybody is everybody's neighbour, or k/2 to either side of a circle in the order of random words."""
        everybody = list(self.cohort)
        if self.complete or self.k >= self.n - 1:
            self.near = {index: [each for each in everybody if each != index] for index in everybody}
            self.graph = b"\x00" + number(self.n, 4) + number(self.n - 1, 4)
            return
        label = b"chorus graph order 1" + seed + number(self.n, 4) + number(0, 4)
        drawn = hashlib.shake_256(label).digest(8 * self.n)
        circle = sorted(everybody, key=lambda index: drawn[8 * index - 8 : 8 * index])
        self.near = {}
        for at, index in enumerate(circle):
            steps = [step for step in range(-(self.k // 2), self.k // 2 + 1) if step]
            self.near[index] = sorted(circle[(at + step) % self.n] for step in steps)
        self.graph = b"\x01" + number(self.n, 4) + number(self.k, 4) + seed

    def _share(self) -> Sealed:
        """r1: (recipient -> sender -> block) of whoever completed it."""
        self.dealt: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
        sealed: Sealed = {index: {} for index in self.cohort}
        present = set(self.there("r1"))
        for u, client in self.cohort.items():
            if client not in present:
                continue
            person, drawn = self.people[client], self.entropy["r1", client]
            person.seed = drawn[:32]
            holders = sorted([*self.near[u], *([u] if self.own_share else [])])
            noise = 64 * (self.threshold - 1)
            of_seed = shares(person.seed, holders, self.threshold, drawn[32 : 32 + noise])
            of_key = shares(person.private[0], holders, self.threshold, drawn[32 + noise : 32 + 2 * noise])
            self.dealt[u] = of_seed, of_key
            blocks = {v: self._sealed(u, v, of_key[v], of_seed[v]) for v in self.near[u]}
            for v, block in blocks.items():
                sealed[v][u] = block
            person.commitment = digest("self mask commitment", self.context, number(u, 8), person.seed)
            self.said["r1", client] = b"\x13\x02" + person.commitment + listed(blocks)
        return sealed

    def _sealed(self, u: int, v: int, of_key: int, of_seed: int) -> bytes:
        own, theirs = self.people[self.cohort[u]], self.people[self.cohort[v]].keys
        key = derive(agree(own.private[1], theirs[32:]), "channel", self.context, u, v)
        cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(12))
        named = number(u, 8) + number(v, 8)
        cipher.update(self.context + named + own.keys[:32] + theirs[:32])
        body, tag = cipher.encrypt_and_digest(number(of_key, 33) + number(of_seed, 33))
        tags = [
            digest("share tag", self.context, kind, named, number(share, 33))[:16]
            for kind, share in ((b"mask key", of_key), (b"self mask", of_seed))
        ]
        return body + tag + tags[0] + tags[1]

    def _mask(self, sealed: Sealed) -> None:
        """r2: requests, and masked vectors added up."""
        sharers = set(self.dealt)
        self.sharers, self.alive = bitmap(sharers, self.n), set[int]()
        self.sums = [0] * self.about["tensor_length"], [0] * self.about["scalar_length"]
        present = set(self.there("r2"))
        for u in sorted(sharers):
            client = self.cohort[u]
            told = self.identifier + number(self.n, 4) + self.sharers
            self.asked["r2", client] = b"\x14\x02" + told + listed(sealed[u])
            if client not in present:
                continue
            self.alive.add(u)
            person = self.people[client]
            masked = list(person.tensor), list(person.scalars)
            add(masked, self._self_mask(u, person.seed), 1)
            for v in self.near[u]:
                if v in sharers:
                    add(masked, self._pairwise(person.private[0], u, v), 1 if u < v else -1)
            packed = pack(masked[0], self.bits) + pack(masked[1], SCALAR_BITS)
            self.said["r2", client] = b"\x15\x02" + packed
            size = -(-self.bits * len(masked[0]) // 8)
            arrived = (
                unpack(packed[:size], len(masked[0]), self.bits),
                unpack(packed[size:], len(masked[1]), SCALAR_BITS),
            )
            add(self.sums, arrived, 1)

    def _expanded(self, tensor: bytes, scalars: bytes) -> tuple[list[int], list[int]]:
        about = self.about
        return stream(tensor, about["tensor_length"], self.bits), stream(
            scalars, about["scalar_length"], SCALAR_BITS
        )

    def _self_mask(self, u: int, seed: bytes) -> tuple[list[int], list[int]]:
        keys = [derive(seed, f"self mask/{part}", self.context, u) for part in ("tensor", "scalars")]
        return self._expanded(keys[0], keys[1])

    def _pairwise(self, private: bytes, u: int, v: int) -> tuple[list[int], list[int]]:
        secret, ends = agree(private, self.people[self.cohort[v]].keys[:32]), (min(u, v), max(u, v))
        keys = [
            derive(secret, f"pairwise mask/{part}", self.context, *ends) for part in ("tensor", "scalars")
        ]
        return self._expanded(keys[0], keys[1])

    def _sign(self) -> None:
        """r3; and r4's requests."""
        survived, signatures = bitmap(self.alive, self.n), dict[int, bytes]()
        told = self.identifier + number(self.n, 4) + survived
        sets = b"\x00\x00" + number(self.n, 4) + self.sharers + survived
        self.revealing = sorted(self.alive)
        if self.active:
            present = set(self.there("r3"))
            for u in sorted(self.alive):
                client = self.cohort[u]
                person = self.people[client]
                self.asked["r3", client] = b"\x16\x02" + told
                if client in present:
                    statement = digest("signed survivors", self.context, person.credential[1:5], sets)
                    signatures[u] = sign(person.identity, statement)
                    self.said["r3", client] = b"\x17\x02" + signatures[u]
            self.revealing = sorted(signatures)
        for u in self.revealing:
            self.asked["r4", self.cohort[u]] = b"\x18\x02" + told + listed(signatures)

    def _reveal(self) -> None:
        """r4: one share of every neighbour that shared, of its seed if it lives and of its key if not."""
        present = set(self.there("r4"))
        self.open: dict[int, dict[int, int]] = {u: {} for u in self.dealt}
        for u in self.revealing:
            client = self.cohort[u]
            if client not in present:
                continue
            drawn, entries = self.entropy["r4", client], dict[int, bytes]()
            for owner in sorted({*self.near[u], *([u] if self.own_share else [])} & set(self.dealt)):
                lives = owner in self.alive
                share = self.dealt[owner][0 if lives else 1][u]
                self.open[owner][u] = share
                entries[owner] = (b"\x00" if lives else b"\x01") + number(share, 33)
            self.next_private[client] = [drawn[:32], drawn[32:64]]
            keys = public(drawn[:32]) + public(drawn[32:64])
            vouched = self._vouch(self.people[client], keys, b"ahead", self.identifier)
            self.said["r4", client] = b"\x19\x02" + keys + vouched + listed(entries)

    def _unmask(self) -> None:
        """Rebuild, remove, reduce."""
        for owner, held in self.open.items():
            secret = interpolated(dict(sorted(held.items())[: self.threshold]))
            if owner in self.alive:
                add(self.sums, self._self_mask(owner, secret), -1)
                continue
            for v in self.near[owner]:
                if v in self.alive:
                    # v added or subtracted it by its own sign: the dropped client's sign takes it away.
                    add(self.sums, self._pairwise(secret, owner, v), 1 if owner < v else -1)
        self.survivors = [self.cohort[u] for u in sorted(self.alive)]
        self.total = [
            [(value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) for value in part]
            for part, bits in zip(self.sums, (self.bits, SCALAR_BITS), strict=True)
        ]

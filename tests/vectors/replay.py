"""A recorded session played again: any step of any client, and the server up to any protocol round.

A session is a few tables, one a file of the kit: `session` (what is agreed, who takes part, what they hold), one for
each protocol round (request, state before, entropy, reply, state after of each client) and `sum`. All bytes are hex.
"""

import json
from collections.abc import Collection as Some
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from secagg.errors import OutOfTurn
from secagg.messages import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.params import SecAggParams, Session
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.signatory import Signatory
from tests.support.cohort import Vector, step

KIT = Path(__file__).resolve().parent / "kit"
REFUSED = "refused"
Table = dict[str, Any]
Tables = dict[str, Table]


def load(session: str) -> Tables:
    """The tables of a session of the kit."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((KIT / session).glob("*.json"))}


class Drawn:
    """Recorded entropy: exactly these bytes in exactly this order."""

    def __init__(self, data: str) -> None:
        self._left = bytes.fromhex(data)

    def __call__(self, size: int) -> bytes:
        taken, self._left = self._left[:size], self._left[size:]
        return taken.ljust(size, b"\x00")  # what a refused step would have drawn is nobody's


def parsed(protocol_round: str, data: bytes, params: SecAggParams) -> Any:
    """The reply in these bytes."""
    if protocol_round == "r2":
        return InputMasked.from_bytes(data, params)
    kinds = {"r0": KeysAdvertised, "r1": SharesSealed, "r3": SurvivorsSigned, "r4": SharesRevealed}
    return kinds[protocol_round].from_bytes(data)


class Replay:
    """One recorded session."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        about = tables["session"]
        self.params = SecAggParams.from_bytes(bytes.fromhex(about["params"]))
        self.session = Session(bytes.fromhex(about["session"]), about["server_round"], self.params)
        self.clients = [int(client) for client in about["clients"]]
        self.digests = bytes.fromhex(about["model"]), bytes.fromhex(about["config"])
        self.rounds = [name for name in ("r0", "r1", "r2", "r3", "r4") if name in tables]
        self.roster = roster_of(about["roster"]) if about["roster"] else None

    def signatory(self, client: int, revoked: Some[int] = ()) -> Signatory | None:
        """The client's place in the roster, or in the same one with some members revoked."""
        if self.roster is None:
            return None
        members = tuple(
            replace(member, revoked=number in revoked) for number, member in enumerate(self.roster.members, 1)
        )
        identity = self.tables["session"]["clients"][str(client)]["identity"]
        return Signatory.of(replace(self.roster, members=members), SigningKey(bytes.fromhex(identity)))

    def at(self, protocol_round: str, client: int) -> Table:
        """What is recorded of one client in one protocol round."""
        return dict(self.tables[protocol_round]["clients"][str(client)])

    def request(self, protocol_round: str, client: int) -> bytes:
        """The honest request."""
        return bytes.fromhex(self.at(protocol_round, client)["request"])

    def reply(self, protocol_round: str, client: int) -> bytes:
        """The honest reply."""
        return bytes.fromhex(self.at(protocol_round, client)["reply"])

    def answer(
        self, protocol_round: str, client: int, message: bytes, state: bytes | None, who: Signatory | None
    ) -> tuple[bytes, bytes]:
        """(next state, reply) of the client's step; whoever finds no state runs none (`wire.kept_state`)."""
        if protocol_round != "r0" and state is None:
            raise OutOfTurn("no state is kept for this protocol round")
        vector = Vector(
            *(tuple(part) for part in self.tables["session"]["clients"][str(client)]["vector"].values())
        )
        entropy = Drawn(self.tables[protocol_round]["clients"].get(str(client), {}).get("entropy", ""))
        return step(protocol_round, state, message, entropy, vector.residues, self.digests, who)

    def kept(self, protocol_round: str, client: int) -> bytes | None:
        """The state with which the client met the request."""
        state = self.at(protocol_round, client)["state"]
        return None if state is None else bytes.fromhex(state)

    def server(self, protocol_round: str, changed: Mapping[str, bytes] | None = None) -> Any:
        """The server's collection of a protocol round, open, nobody heard yet in it.

        `changed`: "r1/101" -> what that client said in the place of what is recorded.
        """
        ahead = self.tables["session"]["ahead"]
        collection: Any = KeyCollection(
            self.session, self.clients, self.roster, bytes.fromhex(ahead["finished"])
        )
        for client, data in ahead["keys"].items():
            collection.receive(int(client), KeysAdvertised.from_bytes(bytes.fromhex(data)))
        before = ["r0", *(name for name in self.rounds if name != "r0")]
        for name in before[: before.index(protocol_round)]:
            self.hear(collection, name, changed=changed)
            collection, _ = self.close(collection, name)
        return collection

    def hear(
        self,
        collection: Any,
        protocol_round: str,
        only: Some[int] | None = None,
        changed: Mapping[str, bytes] | None = None,
    ) -> None:
        """Take the recorded replies, of some clients or of all."""
        for client, each in self.tables.get(protocol_round, {"clients": {}})["clients"].items():
            if only is None or int(client) in only:
                said = (changed or {}).get(f"{protocol_round}/{client}", bytes.fromhex(each["reply"]))
                self.take(collection, protocol_round, int(client), said)

    def take(self, collection: Any, protocol_round: str, client: int, data: bytes) -> None:
        """Take one reply."""
        collection.receive(client, parsed(protocol_round, data, self.params))

    def close(self, collection: Any, protocol_round: str) -> Any:
        """Close a protocol round: (next collection, requests), or the outcome after r4."""
        if protocol_round == "r0":
            return collection.close(*self.digests)
        if protocol_round == "r2" and self.params.is_active:
            return collection.close_active()
        return collection.close()


def roster_of(table: Table) -> Roster:
    """A roster from its table."""
    members = tuple(
        Member(each["name"], bytes.fromhex(each["key"]), each["revoked"]) for each in table["members"]
    )
    return Roster(table["federation"], table["serial"], table["not_after"], members)

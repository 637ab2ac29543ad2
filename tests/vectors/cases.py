"""What somebody must refuse: one case a file of the kit, and how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from arithmetic.errors import ChorusError
from secagg.errors import Misbehaviour
from secagg.signatory import Signatory
from tests.vectors.replay import Replay, Table

STEPS = {
    "r0": "advertise_keys", "r1": "share_keys", "r2": "mask_input", "r3": "sign_survivors", "r4": "reveal_shares",
}  # fmt: skip
ELSEWHERE = "another client's"


@dataclass(frozen=True)
class Case:
    """A message, or a set of replies, that the step of one side must refuse.

    Attributes:
        what: a sentence; the file's name is made of it.
        session: of the kit, in which it happens.
        side: `client` or `server`.
        step: protocol round.
        client: who is asked, or whose reply it is; 0 where the server refuses when it closes the round.
        error: by hand, never what the code was seen to say.
        message: bytes that arrive.
        culprit: whom the error blames, as the side that raises it names it; 0: it names nobody.
        state: the client's state in the place of the recorded one, None for none at all; `recorded` for that one.
        roster: `recorded`; `none`: the client has no place in one; otherwise the session whose client it is.
        revoked: members that the client's roster says are revoked.
        heard: server: clients whose recorded replies of this protocol round came before.
        replies: server: what clients said in this or earlier protocol rounds in the place of what is recorded.
    """

    what: str
    session: str
    side: str
    step: str
    client: int
    error: type[ChorusError]
    message: bytes = b""
    culprit: int = 0
    state: bytes | str | None = "recorded"
    roster: str = "recorded"
    revoked: tuple[int, ...] = ()
    heard: tuple[int, ...] = ()
    replies: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.side}-{self.step}-" + "-".join(self.what.replace(",", "").replace("'", "").split())

    def table(self) -> Table:
        """As it is kept."""
        step = STEPS[self.step] if self.side == "client" else "receive" if self.client else "close"
        return {
            "case": self.what, "session": self.session, "side": self.side, "step": self.step, "refused_by": step,
            "client": self.client, "message": self.message.hex(),
            "state": self.state.hex() if isinstance(self.state, bytes) else self.state, "roster": self.roster,
            "revoked": list(self.revoked), "heard": list(self.heard),
            "replies": {key: data.hex() for key, data in sorted(self.replies.items())},
            "refuses": {"error": self.error.__name__, "code": self.error.code, "culprit": self.culprit},
        }  # fmt: skip


def refusal(table: Table, replays: Mapping[str, Replay]) -> ChorusError | None:
    """The error with which the code meets a case; None: it took it."""
    replay = replays[table["session"]]
    try:
        run = _client if table["side"] == "client" else _server
        run(table, replay, replays)
    except ChorusError as error:
        return error
    return None


def agrees(table: Table, error: ChorusError | None) -> bool:
    """Whether the case was refused as it says."""
    due = table["refuses"]
    culprit = error.culprit if isinstance(error, Misbehaviour) else 0
    found = {"error": type(error).__name__, "code": getattr(error, "code", ""), "culprit": culprit}
    return found == due


def _client(table: Table, replay: Replay, replays: Mapping[str, Replay]) -> None:
    who: Signatory | None = None
    if table["roster"] == "recorded":
        who = replay.signatory(table["client"], table["revoked"])
    elif table["roster"] != "none":
        who = replays[table["roster"]].signatory(table["client"])
    state = table["state"]
    kept = (
        replay.kept(table["step"], table["client"])
        if state == "recorded"
        else None if state is None else bytes.fromhex(state)
    )  # fmt: skip
    replay.answer(table["step"], table["client"], bytes.fromhex(table["message"]), kept, who)


def _server(table: Table, replay: Replay, replays: Mapping[str, Replay]) -> None:
    changed = {key: bytes.fromhex(data) for key, data in table["replies"].items()}
    collection = replay.server(table["step"], changed)
    replay.hear(collection, table["step"], table["heard"], changed)
    if table["client"]:
        replay.take(collection, table["step"], table["client"], bytes.fromhex(table["message"]))
    else:
        replay.close(collection, table["step"])

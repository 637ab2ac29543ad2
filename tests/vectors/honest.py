"""The honest sessions of the kit, made by the code itself; `tests.support.mini_secagg` confirms them byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from secagg.bounds import Adversary
from secagg.messages import KeysAdvertised
from secagg.params import SecAggParams
from tests.support.cohort import CONFIG, MODEL, Cohort, ShakeEntropy, decoded, oracle_inputs, step
from tests.vectors.replay import Table, Tables


@dataclass(frozen=True)
class Course:
    """Sessions that one cohort runs one after the other: name of each, and who is gone from which protocol round on."""

    params: SecAggParams
    sessions: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


# Identifiers are the caller's: here 101, 102, ...; an index is the place among those that sent keys.
COURSES = (
    Course(
        SecAggParams.complete(5, 20, 8, 3, 3),
        {"curious-complete": {104: "r2", 105: "r4"}, "curious-next": {102: "r1"}},
    ),
    Course(SecAggParams(8, 3, 4, 5, 24, 10, 3), {"curious-sparse": {103: "r2", 106: "r0"}}),
    Course(
        SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE),
        {"active-complete": {105: "r2", 104: "r4"}, "active-again": {}, "active-ahead": {102: "r2"}},
    ),
    Course(SecAggParams(7, 3, 4, 4, 33, 10, 3, Adversary.ACTIVE), {"active-sparse": {107: "r2"}}),
)


class _Recorder:
    """Entropy that remembers what it gave."""

    def __init__(self, entropy: ShakeEntropy) -> None:
        self._entropy = entropy
        self.given = b""

    def __call__(self, size: int) -> bytes:
        data = self._entropy(size)
        self.given += data
        return data


def sessions() -> dict[str, Tables]:
    """Every session of the kit, by name."""
    made: dict[str, Tables] = {}
    for course in COURSES:
        clients = range(101, 101 + course.params.cohort)
        cohort = Cohort(course.params, oracle_inputs(clients, course.params.tensor_length), seed="kit")
        for name, drops in course.sessions.items():
            made[name] = _recorded(name, cohort, drops)
    return made


def _recorded(name: str, cohort: Cohort, drops: Mapping[int, str]) -> Tables:
    """Run a session and write down what passed."""
    carried, finished = dict(cohort.carried), cohort.finished
    outcome = cohort.run(drops)
    assert outcome.unmasked is not None, (name, outcome.error)
    here = [client for client in cohort.clients if drops.get(client) != "r0"]
    if cohort.params.is_active and len(carried) < len(here):
        carried = {}  # keys of one origin for everybody
    tables: Tables = {"session": _about(name, cohort, drops, carried, finished if carried else b"")}
    for protocol_round in cohort.rounds:
        # Asked, but gone: a request without a reply is no step.
        asked = [client for at, client in sorted(cohort.replies) if at == protocol_round]
        if asked:
            entries = {str(client): _entry(cohort, protocol_round, client) for client in asked}
            tables[protocol_round] = {"session": name, "step": protocol_round, "clients": entries}
    total = decoded(outcome.unmasked.total, cohort.params)
    tables["sum"] = {
        "session": name, "step": "sum", "survivors": list(outcome.unmasked.survivors),
        "tensor": list(total.tensor), "scalars": list(total.scalars),
        "tensor_residues": outcome.unmasked.total.tensor.tobytes().hex(),
    }  # fmt: skip
    return tables


def _entry(cohort: Cohort, protocol_round: str, client: int) -> Table:
    """One client's step, run again to see what it drew and kept."""
    kept, request = (
        cohort.states[protocol_round, client],
        cohort.requests[protocol_round, client],
    )
    recorder = _Recorder(ShakeEntropy(cohort.session, client, protocol_round))
    state, reply = step(
        protocol_round, None if protocol_round == "r0" else kept, request, recorder, cohort.inputs[client].residues,
        (MODEL, CONFIG), cohort.signatories.get(client),
    )  # fmt: skip
    assert reply == cohort.replies[protocol_round, client]
    before = None if protocol_round == "r0" or kept is None else kept.hex()
    return {
        "request": request.hex(), "state": before, "entropy": recorder.given.hex(), "reply": reply.hex(),
        "keeps": state.hex(),
    }  # fmt: skip


def _about(
    name: str,
    cohort: Cohort,
    drops: Mapping[int, str],
    carried: Mapping[int, KeysAdvertised],
    finished: bytes,
) -> Table:
    params, roster = cohort.params, cohort.roster
    members = (
        [{"name": m.name, "key": m.key.hex(), "revoked": m.revoked} for m in roster.members] if roster else []
    )
    clients = {}
    for client, vector in cohort.inputs.items():
        clients[str(client)] = {
            "vector": {"tensor": list(vector.tensor), "scalars": list(vector.scalars)},
            "identity": ShakeEntropy("identity", str(client))(32).hex() if roster else "",
        }
    return {
        "session": cohort.session.hex(), "step": "session", "name": name, "server_round": cohort.sessions,
        "params": params.to_bytes().hex(), "cohort": params.cohort, "threshold": params.threshold,
        "neighbours": params.neighbours, "min_survivors": params.min_survivors, "modulus_bits": params.modulus_bits,
        "tensor_length": params.tensor_length, "scalar_length": params.scalar_length,
        "adversary": str(params.adversary), "colluders": params.colluders, "model": MODEL.hex(),
        "config": CONFIG.hex(), "drops": {str(client): at for client, at in sorted(drops.items())},
        "ahead": {
            "finished": finished.hex(),
            "keys": {str(client): keys.to_bytes().hex() for client, keys in sorted(carried.items())},
        },
        "roster": {
            "federation": roster.federation, "serial": roster.serial, "not_after": roster.not_after,
            "members": members, "bytes": roster.to_bytes().hex(),
        } if roster else None,
        "clients": clients,
    }  # fmt: skip

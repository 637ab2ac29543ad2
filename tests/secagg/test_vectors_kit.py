"""Our own kit of vectors: honest sessions byte for byte, and each message that somebody must refuse, by its error."""

import json
from functools import cache

import pytest

from tests.vectors import __main__ as generator
from tests.vectors.cases import agrees, refusal
from tests.vectors.replay import KIT, REFUSED, Replay, load

SESSIONS = sorted(path.name for path in KIT.iterdir() if path.name != REFUSED)


@cache
def replays() -> dict[str, Replay]:
    return {name: Replay(load(name)) for name in SESSIONS}


@pytest.mark.parametrize("name", SESSIONS)
def test_every_client_step_gives_the_recorded_state_and_reply(name: str) -> None:
    replay = replays()[name]
    steps = 0
    for protocol_round in replay.rounds:
        for client in map(int, replay.tables[protocol_round]["clients"]):
            kept, reply = replay.answer(
                protocol_round,
                client,
                replay.request(protocol_round, client),
                replay.kept(protocol_round, client),
                replay.signatory(client),
            )
            due = replay.at(protocol_round, client)
            assert (kept.hex(), reply.hex()) == (due["keeps"], due["reply"]), (protocol_round, client)
            steps += 1
    assert steps >= 14


@pytest.mark.parametrize("name", SESSIONS)
def test_every_server_step_gives_the_recorded_requests_and_the_sum(name: str) -> None:
    replay = replays()[name]
    for protocol_round in ("r0", *(each for each in replay.rounds if each != "r0")):
        collection = replay.server(protocol_round)
        replay.hear(collection, protocol_round)
        closed = replay.close(collection, protocol_round)
        if protocol_round == "r4":
            break
        following = f"r{int(protocol_round[1]) + 1}"
        following = following if following in replay.tables else "r4"
        for client in map(int, replay.tables[following]["clients"]):
            assert closed[1][client].to_bytes() == replay.request(following, client), (following, client)
    due = replay.tables["sum"]
    assert list(closed.survivors) == due["survivors"]
    assert closed.total.tensor.tobytes().hex() == due["tensor_residues"]
    vectors = [replay.tables["session"]["clients"][str(client)]["vector"] for client in due["survivors"]]
    for part in ("tensor", "scalars"):
        assert due[part] == [
            sum(column) for column in zip(*(vector[part] for vector in vectors), strict=True)
        ]


def test_every_bad_file_is_refused_with_the_error_that_it_names() -> None:
    """One test for all of them: a file is read, run and compared in about a millisecond."""
    wrong = []
    for path in sorted((KIT / REFUSED).glob("*.json")):
        table = json.loads(path.read_text())
        error = refusal(table, replays())
        if not agrees(table, error):
            wrong.append((path.name, table["refuses"], repr(error)))
    assert not wrong


def test_the_kit_is_large_enough_and_covers_every_step_of_both_sides() -> None:
    bad = [json.loads(path.read_text()) for path in (KIT / REFUSED).glob("*.json")]
    assert len(bad) >= 100
    assert len(list(KIT.rglob("*.json"))) >= 150
    assert {(each["side"], each["step"]) for each in bad} == {
        (side, step) for side in ("client", "server") for step in ("r0", "r1", "r2", "r3", "r4")
    }
    codes = {each["refuses"]["code"] for each in bad}
    assert codes >= {"FORMAT", "AUTH", "STATE", "VIEW", "POLICY", "CRYPTO", "SHARE", "RANGE", "QUORUM"}


def test_a_case_that_is_taken_or_met_with_another_error_does_not_pass() -> None:
    table = json.loads((KIT / REFUSED / "client-r1-own-keys-missing.json").read_text())
    honest = replays()[table["session"]].request("r1", table["client"]).hex()
    taken = refusal({**table, "message": honest}, replays())
    assert taken is None
    assert not agrees(table, taken)
    garbled = refusal({**table, "message": ""}, replays())
    assert garbled is not None
    assert not agrees(table, garbled)


def test_the_code_still_gives_the_whole_kit() -> None:
    assert generator.differing(generator.files()) == []

"""What clients and servers put into messages: rows 9, 15, 16, 17, 20, 27 and 28 of docs/threats.md, in active sessions.

A success is a wrong sum, a client that works at a model its policy does not allow, a mask key used twice, a size that
follows from the data, or memory that follows from what a message claims.
"""

import os
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from arithmetic.errors import ParameterError
from arithmetic.fixed_point import FixedPoint
from arithmetic.residues import from_signed, to_signed
from clients import steps
from secagg import masks
from secagg.client import r1_share_keys
from secagg.encoding import Writer
from secagg.masks import Residues
from secagg.messages import CohortAnnounced, Invitation, SharesDelivered, SharesRevealed
from secagg.params import PARAMS_BYTES, SecAggParams, Session
from secagg.primitives import KeyStream
from secagg.tags import tag_pair
from strategies.session import SessionDriver
from tests.support.active_run import active_trial
from tests.support.local_grid import content_size, same_message
from tests.support.malicious_server import R0, R1, R2, R3, R4, MaliciousServer
from tests.support.run import Trial, at, swallow
from wire.records import message_in, message_record, pack_arrays, reply_record, request_record, unpack_arrays
from wire.rounds import ProtocolRound


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Compares every sum that a session gave with the plain sum over its survivors, by node."""
    before: dict[tuple[bytes, int], Residues] = {}
    given: list[tuple[Any, tuple[int, ...]]] = []
    mask, drive = steps.mask_step, SessionDriver.run

    def masking(state: Any, delivered: Any, vector: Residues) -> Any:
        before[state.session, state.index] = Residues(vector.tensor.copy(), vector.scalars.copy())
        return mask(state, delivered, vector)

    def driving(self: SessionDriver, *args: Any) -> Any:
        report = drive(self, *args)
        given.append((report.unmasked.total, report.unmasked.survivors))
        return report

    monkeypatch.setattr(steps, "mask_step", masking)
    monkeypatch.setattr(SessionDriver, "run", driving)

    def check() -> None:
        """Node ids ascend with indices, and whoever is not in the cohort sent no vector."""
        ((total, survivors),) = given
        vectors = [v for (_, index), v in before.items() if 994 + 7 * index in survivors]
        assert len(vectors) == len(survivors)
        for part, bits in (("tensor", 24), ("scalars", 64)):
            signed = [[int(x) for x in to_signed(getattr(one, part), bits)] for one in vectors]
            assert [int(x) for x in to_signed(getattr(total, part), bits)] == [
                sum(column) for column in zip(*signed, strict=True)
            ]

    return check


# Row 9: the node's policy.


def with_policy(trial: Trial, tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    for context in trial.grid.contexts.values():
        context.node_config["privacy-policy"] = str(path)


class Crafted(MaliciousServer):
    """Sends a model of its own making with r1, and the digest that belongs to it."""

    craft: Callable[[dict[str, Any]], dict[str, Any]]

    def attack(self) -> None:
        """As everybody's model: no difference between clients gives it away."""
        self.model = pack_arrays(self.craft(dict(unpack_arrays(self.model))))
        super().attack()


def grown(arrays: dict[str, Any]) -> dict[str, Any]:
    return arrays | {"last.weight": np.zeros((2, 4000), np.float32)}


def scaled(arrays: dict[str, Any]) -> dict[str, Any]:
    return {n: a * np.float32(1e6) if a.dtype == np.float32 else a for n, a in arrays.items()}


def poisoned(arrays: dict[str, Any]) -> dict[str, Any]:
    return arrays | {"last.bias": np.array([np.nan, np.inf], np.float32)}


def renamed(arrays: dict[str, Any]) -> dict[str, Any]:
    return {n.replace("last", "trap"): a for n, a in arrays.items()}


@pytest.mark.parametrize(
    ("craft", "policy"),
    [
        (scaled, "max-parameter-norm = 100.0\n"),
        (poisoned, ""),
        (renamed, ""),
        (grown, ""),
        (grown, "max-parameters = 1000\n"),
        (dict, 'tasks = ["digits"]\n'),
        (dict, f'layouts = ["{64 * "0"}"]\n'),
        (dict, "max-parameters = 10\n"),
        (dict, "min-threshold = 5\n"),
        (dict, "min-cohort = 5\n"),
    ],
)
def test_a_crafted_model(craft: Callable[..., Any], policy: str, tmp_path: Path) -> None:
    """Row 9: a client that answers r1 would be a success: it has trained."""
    trial = active_trial(tmp_path)
    with_policy(trial, tmp_path, policy)
    server = Crafted(trial)
    server.craft = craft
    server.strike()
    assert server.codes(R1) == {"POLICY"}
    assert not server.loot[0].sealed


def test_a_model_that_the_policy_allows(tmp_path: Path) -> None:
    """Row 9, the check of the check: under the same limits the honest model is worked at."""
    trial = active_trial(tmp_path)
    with_policy(trial, tmp_path, "max-parameter-norm = 100.0\nmax-parameters = 1000\nmin-threshold = 4\n")
    assert MaliciousServer(trial).strike().loot[0].sums()


# Row 15: false shares.


def lying(change: Callable[[SharesRevealed], SharesRevealed]) -> Callable[[Message], Message]:
    def lie(message: Message) -> Message:
        message.content = reply_record(
            change(SharesRevealed.from_bytes(message_in(message.content))).to_bytes()
        )
        return message

    return lie


def false_shares(revealed: SharesRevealed) -> SharesRevealed:
    return replace(
        revealed,
        self_mask={i: share + 1 for i, share in revealed.self_mask.items()},
        mask_key={i: share + 1 for i, share in revealed.mask_key.items()},
    )


@pytest.mark.parametrize("liars", [1, 2, 3])
@pytest.mark.parametrize("drops", [0, 1])
def test_liars_among_those_who_reveal(
    liars: int, drops: int, tmp_path: Path, sums: Callable[[], None]
) -> None:
    """Row 15: of seven clients four shares rebuild a secret. The sum is exact, or there is none; each liar is named."""
    trial = active_trial(tmp_path, {"threshold": 4, "min-cohort": 4}, clients=7)
    bad = trial.grid.ids[-liars:]
    trial.grid.after = at(R4, lying(false_shares), *bad)
    trial.grid.before = at(R2, swallow, *trial.grid.ids[:drops]) if drops else same_message
    done = trial.session()
    named = {event["culprit"] for event in trial.named("misbehaviour")}
    enough = 7 - drops - liars >= 4
    assert (done is not None) == enough
    if enough:
        sums()
        assert named == set(bad)
    else:
        assert trial.named("round_failed")[0]["code"] == "QUORUM"
        assert named == set(bad)


def dealing(monkeypatch: pytest.MonkeyPatch, dealers: tuple[int, ...], tags_too: bool) -> None:
    """Clients with these indices deal shares of nothing; bound to what they dealt, or not."""
    split, share = r1_share_keys.split, steps.share_step
    bad: list[bool] = []

    def splitting(secret: bytes, holders: Any, threshold: int, entropy: Any) -> dict[int, int]:
        shares = split(secret, holders, threshold, entropy)
        return {holder: value ^ 1 if bad[-1] else value for holder, value in shares.items()}

    def sharing(state: Any, cohort: Any, *others: Any) -> Any:
        own = next(i for i, keys in cohort.keys.items() if keys == state.keys.public)
        bad.append(own in dealers)
        return share(state, cohort, *others)

    def tagging(mask_key: int, self_mask: int, *others: Any) -> bytes:
        wrong = bad[-1] and not tags_too
        return tag_pair(mask_key ^ wrong, self_mask, *others)

    monkeypatch.setattr(r1_share_keys, "split", splitting)
    monkeypatch.setattr(r1_share_keys, "tag_pair", tagging)
    monkeypatch.setattr(steps, "share_step", sharing)


def test_a_dealer_whose_shares_do_not_fit_its_tags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 15: its holders find it before a vector leaves. One such client ends sessions; it is named, not excluded."""
    trial = active_trial(tmp_path)
    dealing(monkeypatch, (2,), tags_too=False)
    assert trial.session() is None
    refused = trial.trip(R2)["refused"]
    assert len(refused) == 4
    assert all(reason.startswith("CRYPTO: the shares of peer 2 do not open") for reason in refused.values())
    assert "the shares of peer 2" in trial.named("round_failed")[0]["reason"]


def test_a_dealer_whose_shares_rebuild_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 15: its own commitment convicts it, when the server rebuilds; there is no sum."""
    trial = active_trial(tmp_path)
    dealing(monkeypatch, (2,), tags_too=True)
    assert trial.session() is None
    (failure,) = trial.named("round_failed")
    assert failure["code"] == "SHARE"
    assert {event["culprit"] for event in trial.named("misbehaviour")} == {trial.grid.ids[1]}


def test_a_forged_signature_on_the_survivors(tmp_path: Path, sums: Callable[[], None]) -> None:
    """Row 15: whoever does not sign is not asked for shares; its vector stays in the exact sum."""
    trial = active_trial(tmp_path)

    def forge(message: Message) -> Message:
        signed = message_in(message.content)
        message.content = reply_record(signed[:-64] + bytes(64))
        return message

    trial.grid.after = at(R3, forge, trial.grid.ids[2])
    assert trial.session() is not None
    assert trial.trip(R3)["refused"][str(trial.grid.ids[2])].startswith("AUTH")
    sums()
    assert trial.named("round_finished")[0]["masked"] == 5


# Row 16: masked vectors.

VECTORS: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda data: data[:-1],
    "long": lambda data: data + b"\x00",
    "empty": lambda data: data[:2],
    "twice": lambda data: data + data[2:],
    "other tag": lambda data: b"\x13" + data[1:],
    "other version": lambda data: data[:1] + b"\x01" + data[2:],
    "npy": lambda data: b"\x93NUMPY\x01\x00" + data,
}


@pytest.mark.parametrize("kind", VECTORS)
def test_a_masked_vector_of_another_length_or_type(
    kind: str, tmp_path: Path, sums: Callable[[], None]
) -> None:
    """Row 16: dropped before the survivors are announced; the sum over the others is exact."""
    trial = active_trial(tmp_path)

    def change(message: Message) -> Message:
        message.content = reply_record(VECTORS[kind](message_in(message.content)))
        return message

    trial.grid.after = at(R2, change, trial.grid.ids[3])
    assert trial.session() is not None
    code = "VIEW" if kind == "other version" else "FORMAT"
    assert trial.trip(R2)["refused"][str(trial.grid.ids[3])].startswith(code)
    assert trial.named("round_finished")[0]["unmasked"] == 4
    sums()


def test_a_residue_that_is_out_of_range(tmp_path: Path, sums: Callable[[], None]) -> None:
    """Row 16: residues of 9 bits in whole bytes leave bits over, which an honest client leaves zero."""
    trial = active_trial(tmp_path, {"modulus-bits": 9})
    tail = 9 * trial.spec.tensor_length % 8
    assert tail

    def change(message: Message) -> Message:
        data = bytearray(message_in(message.content))
        end = 2 + (9 * trial.spec.tensor_length + 7) // 8
        data[end - 1] |= 0x80
        message.content = reply_record(bytes(data))
        return message

    trial.grid.after = at(R2, change, trial.grid.ids[3])
    assert trial.session() is not None
    assert trial.trip(R2)["refused"][str(trial.grid.ids[3])].startswith("RANGE")
    assert trial.named("round_finished")[0]["unmasked"] == 4


# Row 17: headroom.


def test_the_largest_cohort_of_a_modulus_and_one_more(tmp_path: Path) -> None:
    """Row 17: the client's own check; an answer to an invitation without headroom would be a success."""
    most = max(n for n in range(3, 64) if n * 8 < 2**7)
    assert most == 15
    SecAggParams.complete(most, 8, 50, 0)
    with pytest.raises(ParameterError):
        SecAggParams.complete(most + 1, 8, 50, 0)
    server = MaliciousServer(active_trial(tmp_path))
    for cohort, code in ((most, ""), (most + 1, "POLICY")):
        roomy = replace(
            server.trial.params, cohort=cohort, neighbours=cohort - 1, threshold=11, min_survivors=11
        )
        written = bytearray(Invitation(Session(b"s" * 32, 1, roomy)).to_bytes())
        bits = len(written) - PARAMS_BYTES + 2 + 4 * 4
        assert written[bits] == 24
        written[bits] = 8
        server.ask(R0, {node: request_record(bytes(written), None, None) for node in server.nodes})
        assert server.codes(R0) == {code}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sum_does_not_wrap(
    sign: int, tmp_path: Path, sums: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 17: everybody sends the largest residue that the modulus leaves room for; one level more would wrap."""
    mask = steps.mask_step

    def largest(state: Any, delivered: Any, vector: Residues) -> Any:
        levels = FixedPoint(24, state.params.cohort, 1.0).levels
        assert 5 * levels < 2**23 <= 5 * (levels + 1)
        vector.tensor[:] = from_signed(np.full(vector.tensor.size, sign * levels, dtype=np.int64), 24)
        return mask(state, delivered, vector)

    monkeypatch.setattr(steps, "mask_step", largest)
    assert active_trial(tmp_path).session() is not None
    sums()


# Row 20: seeds and keys.


def test_no_key_serves_twice_in_a_whole_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 20: every cipher starts from a zero nonce, so a key must serve once. Two clients derive a pairwise mask, each
    for its own vector; anything more would be a success, and so would a key that seals and masks.
    """
    seals, streams = Counter[bytes](), Counter[bytes]()
    seal = r1_share_keys.seal

    def sealing(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        seals[key] += 1
        return seal(key, plaintext, associated)

    class Stream(KeyStream):
        def __init__(self, key: bytes, start: int = 0) -> None:
            streams[key] += not start
            super().__init__(key, start)

    def masking(state: Any, delivered: Any, vector: Residues) -> Any:
        monkeypatch.setattr(masks, "KeyStream", Stream)
        try:
            return mask(state, delivered, vector)
        finally:
            monkeypatch.setattr(masks, "KeyStream", KeyStream)

    mask = steps.mask_step
    monkeypatch.setattr(r1_share_keys, "seal", sealing)
    monkeypatch.setattr(steps, "mask_step", masking)
    trial = active_trial(tmp_path)
    assert trial.session(1) is not None
    assert trial.session(2) is not None
    assert len(seals) == 2 * 20
    assert set(seals.values()) == {1}
    counts = Counter(streams.values())
    # A session: 5 clients, 10 pairs; scalars and tensor part each. (The stream of a part without entries is not begun.)
    assert counts[1] % 5 == 0
    assert counts[2] == 2 * counts[1]
    assert set(counts) == {1, 2}
    assert counts[1] >= 2 * 5
    assert not set(seals) & set(streams)


@pytest.mark.parametrize("bit", [0, 1, 100, 255])
def test_any_bit_of_a_seed_changes_half_of_the_mask(bit: int) -> None:
    """Row 20: seeds of 256 bits; neighbours of a seed have masks with nothing in common."""
    seed, context = os.urandom(32), os.urandom(32)
    other = (int.from_bytes(seed, "big") ^ (1 << bit)).to_bytes(32, "big")
    one, two = (
        np.frombuffer(KeyStream(masks.self_mask_seed(each, context, 1).tensor).read(1 << 15), dtype=np.uint8)
        for each in (seed, other)
    )
    changed = int(np.unpackbits(one ^ two).sum())
    # 2^18 bits: half of them, within ten standard deviations of 2^8.
    assert abs(changed - 2**17) < 10 * 2**8


def test_seeds_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 20: two runs of one seed have no key in common."""
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        random.seed(7)
        np.random.seed(7)
        server = MaliciousServer(active_trial(tmp_path / name, {"seed": 7})).strike()
        found.append({key for keys in server.loot[0].keys.values() for key in (keys.mask, keys.channel)})
    assert len(found[0] | found[1]) == 20


# Row 27: sizes.


def test_messages_of_two_clients_are_of_one_size(tmp_path: Path) -> None:
    """Row 27: clients have 10 to 22 examples; every request and every reply has the size of everybody's."""
    trial = active_trial(tmp_path)
    sizes: dict[tuple[str, str], set[int]] = {}

    def weigh(way: str) -> Callable[[Message], Message]:
        def note(message: Message) -> Message:
            key = (way, message.metadata.message_type)
            sizes.setdefault(key, set()).add(content_size(message))
            return message

        return note

    trial.grid.before, trial.grid.after = weigh("request"), weigh("reply")
    assert trial.session() is not None
    assert len(sizes) == 10
    assert all(len(found) == 1 for found in sizes.values()), sizes


# Row 28: messages that claim or hold too much.


def waiting_for(trial: Trial, protocol_round: ProtocolRound) -> tuple[int, Message]:
    """A client that awaits a message of this round, and the honest message."""
    node, caught = trial.grid.ids[0], []

    def hold(message: Message) -> None:
        caught.append(message)

    trial.grid.before = at(protocol_round, hold, node)
    trial.session()
    return node, caught[0]


def huge_params(params: SecAggParams) -> bytes:
    return replace(
        params, cohort=10**6, neighbours=10**6 - 1, threshold=600_000, min_survivors=600_000, modulus_bits=40
    ).to_bytes()


def crowd(data: bytes, params: SecAggParams, step: ProtocolRound) -> bytes:
    """The message with a million clients in it."""
    if step is R1:
        cohort = CohortAnnounced.from_bytes(data)
        writer = Writer(0x12, 2).raw(cohort.session.identifier).number(1, 8).raw(huge_params(params))
        writer.number(10**6, 4).raw(cohort.cohort_digest).number(10**6, 4)
        for index in range(1, 10**6 + 1):
            writer.number(index, 4).raw(bytes(64))
        return writer.finish() + bytes(32 + 4 * 10**6 + 64 * 10**6)
    end = 2 + 32
    bitmap = b"\xff" * 125_000
    return data[:end] + (10**6).to_bytes(4, "big") + bitmap + (10**6).to_bytes(4, "big") + bytes(10**6)


@pytest.mark.parametrize("step", [R1, R2, R3, R4])
@pytest.mark.parametrize("kind", ["ten megabytes", "a million clients"])
def test_messages_that_are_too_large(step: ProtocolRound, kind: str, tmp_path: Path) -> None:
    """Row 28: refused with FORMAT, and what the client allocates does not grow with the message."""
    trial = active_trial(tmp_path, {"training-deadline": 0.2})
    node, message = waiting_for(trial, step)
    data = message_in(RecordDict({"chorus": message.content["chorus"]}))
    large = data + bytes(10**7) if kind == "ten megabytes" else crowd(data, trial.params, step)
    message.content["chorus"] = message_record(large)
    tracemalloc.start()
    reply = trial.grid.ask(node, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reply.has_error()
    assert str(reply.error.reason).startswith("FORMAT")
    assert peak < 4 * 10**6
    assert len(large) > 10**6


@pytest.mark.parametrize("key", ["task", "device", "partition"])
def test_ten_megabytes_of_text_in_the_configuration(key: str, tmp_path: Path) -> None:
    """Row 28: the reply does not repeat it."""
    trial = active_trial(tmp_path, {"training-deadline": 0.2})
    node, message = waiting_for(trial, R1)
    message.content["config"] = ConfigRecord(
        dict(message.content.config_records["config"]) | {key: "x" * 10**7}
    )
    reply = trial.grid.ask(node, message)
    assert reply.has_error()
    assert len(str(reply.error.reason)) <= 200


def test_a_million_sharers_cost_what_they_take_up() -> None:
    """Row 28, the check of the check: a parser that knows no cohort reads the same message, and needs the memory."""
    data = Writer(0x14, 2).raw(bytes(32)).number(10**6, 4).raw(b"\xff" * 125_000).number(0, 4).finish()
    tracemalloc.start()
    assert len(SharesDelivered.from_bytes(data).sharers) == 10**6
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak > 4 * 10**6

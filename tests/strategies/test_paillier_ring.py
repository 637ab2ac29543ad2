"""Sums around the ring against the same sums under masks, over the same hospitals; whoever drops is skipped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message

from app.ring_job import ring_settings
from app.server_app import training_record
from arithmetic.errors import ParameterError
from paillier.ciphertext import Ciphertext, decrypt
from paillier.keys import PrivateKey
from paillier.ring.messages import HopSealed, Invitation, SumHanded, is_restart
from paillier.ring.terms import Terms
from secagg.errors import ChorusError
from strategies.errors import NothingAggregated
from strategies.paillier_ring import PaillierRing
from tests.paillier.made import pair_of
from tests.support.ring_run import PAIR, QUICK, at_step, ring_trial
from tests.support.run import Trial, copied, swallow
from wire.records import message_in, pack_arrays, request_record
from wire.rounds import RingStep

ROLL_CALL, JOIN, REVEAL, HOP = RingStep
Change = Callable[[Message], Message | None]


def masked_trial(overrides: dict[str, Any] | None = None) -> Trial:
    """The same run under masks."""
    return Trial(QUICK | {"job": "train", "modulus-bits": 64, "threshold": 3} | (overrides or {}))


def numbers(record: ArrayRecord) -> list[list[float]]:
    """A model as plain numbers."""
    return [array.ravel().tolist() for array in copied(record).values()]


def masked_without(*partitions: int) -> list[list[float]]:
    """The model that the hospitals of the other partitions give under masks."""
    trial = masked_trial()
    trial.strategy.settings = trial.settings
    for partition in partitions:
        trial.grid.online.discard(trial.grid.ids[partition])
    trial.strategy._attendance.once_whole = True  # so that the first cohort may be incomplete
    model = trial.session()
    assert model is not None
    return numbers(model)


def test_ring_and_masks_give_the_same_weights_bit_by_bit(tmp_path: Path) -> None:
    ring, masked = ring_trial(tmp_path, {"rounds": 3}), masked_trial({"rounds": 3})
    ours, theirs = ring.start().arrays, masked.start().arrays
    assert numbers(ours) == numbers(theirs)
    assert sum(map(len, numbers(ours))) == 11
    assert all(any(part) for part in numbers(ours))
    found = [trial.named("round_finished") for trial in (ring, masked)]
    same = ("loss", "metrics", "train_loss", "encoding_bound", "saturated", "weights_clamped")
    assert [[each.get(key) for key in same] for each in found[0]] == [
        [each.get(key) for key in same] for each in found[1]
    ]
    assert len(found[0]) == 4
    assert all((each["joined"], each["revealed"], each["added"]) == (5, 5, 5) for each in found[0])


def test_a_roll_is_called_once_a_run_and_every_ring_has_one_hop_a_hospital(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path, {"rounds": 2})
    trial.start()
    steps = [event["protocol_round"] for event in trial.named("protocol_round")]
    ring = [JOIN, REVEAL, *[HOP] * 5]
    assert steps == [ROLL_CALL, *ring * 3]


class Dropper:
    """Loses every message of one hospital from the `place`-th message of a step on, either way."""

    def __init__(self, trial: Trial, step: RingStep, place: int, before: bool) -> None:
        self.node: int | None = None
        self._left = place
        hook = at_step(step, self._count)
        trial.grid.before = self._gone if not before else lambda m: self._gone(hook(m))
        trial.grid.after = self._gone if before else lambda m: self._gone(hook(m))

    def _count(self, message: Message) -> Message:
        self._left -= 1
        if self._left == 0:
            self.node = max(message.metadata.src_node_id, message.metadata.dst_node_id)
        return message

    def _gone(self, message: Message | None) -> Message | None:
        ends = message and (message.metadata.src_node_id, message.metadata.dst_node_id)
        return None if ends and self.node in ends else message


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("step", "place"), [(JOIN, 2), (REVEAL, 3), *((HOP, hop) for hop in range(1, 6))])
def test_whoever_drops_is_skipped_and_the_sum_is_exact(
    step: RingStep, place: int, before: bool, tmp_path: Path
) -> None:
    trial = ring_trial(tmp_path)
    dropper = Dropper(trial, step, place, before)
    model = trial.session()
    assert model is not None
    assert dropper.node is not None
    (restarted,) = trial.named("ring_restarted")
    assert (restarted["dropped"], restarted["left"]) == ([dropper.node], 4)
    assert numbers(model) == masked_without(trial.grid.ids.index(dropper.node))
    (finished,) = trial.named("round_finished")
    assert (finished["joined"], finished["revealed"], finished["added"]) == (4, 4, 4)


def test_a_ring_that_starts_again_trains_nobody_twice(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    Dropper(trial, HOP, 5, False)
    assert trial.session() is not None
    logs = sorted((tmp_path / "clients").glob("*.jsonl"))
    assert [len(log.read_text().splitlines()) for log in logs] == [1] * 5


def test_two_may_drop_of_five_and_three_may_not(tmp_path: Path) -> None:
    for gone, left in ((2, True), (3, False)):
        folder = tmp_path / str(gone)
        folder.mkdir()
        trial = ring_trial(folder)
        trial.grid.after = at_step(JOIN, swallow, *trial.grid.ids[:gone])
        model = trial.session()
        assert (model is not None) is left
        if model is None:
            (failed,) = trial.named("round_failed")
            assert failed["code"] == "QUORUM"
        else:
            assert numbers(model) == masked_without(0, 1)


def test_a_hospital_that_fails_in_training_is_skipped_without_its_reasons(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    node = trial.grid.ids[3]
    trial.grid.contexts[node].node_config["num-partitions"] = 3  # there is no partition 3 of 3
    model = trial.session()
    assert model is not None
    assert numbers(model) == masked_without(3)
    (told,) = (event for event in trial.named("protocol_round") if event["refused"])
    assert told["protocol_round"] == REVEAL
    assert list(told["refused"]) == [str(node)]
    assert "see the client's own log" in told["refused"][str(node)]


@pytest.fixture(scope="module")
def overheard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, Terms, list[bytes]]:
    """A whole ring, its terms, and every hop as the key holder carried it, in order."""
    trial, terms, hops = ring_trial(tmp_path_factory.mktemp("ring")), list[Terms](), list[bytes]()

    def hear(message: Message) -> Message:
        terms.append(Invitation.from_bytes(message_in(message.content)).terms)
        return message

    def carry(message: Message) -> Message:
        hops.append(message_in(message.content))
        return message

    trial.grid.before, trial.grid.after = at_step(JOIN, hear), at_step(HOP, carry)
    assert trial.session() is not None
    return trial, terms[0], hops


def ciphertexts(data: bytes, terms: Terms) -> list[Ciphertext]:
    """Every stretch of bytes that could be a ciphertext of this key, wherever it starts."""
    width = terms.public.ciphertext_bytes
    values = (int.from_bytes(data[start : start + width], "big") for start in range(len(data) - width + 1))
    found = []
    for value in values:
        try:
            found.append(Ciphertext.of(terms.public, value))
        except ChorusError:
            continue
    return found


def is_plain(terms: Terms, ciphertext: Ciphertext) -> bool:
    """Whether the private key makes a packed vector of it; of a random number it makes 2,000 random bits."""
    plaintext = decrypt(PAIR, ciphertext)
    return abs(plaintext) < 1 << (terms.packing.length * terms.packing.width)


def test_the_key_holder_opens_the_total_and_no_hop_before_it(
    overheard: tuple[Trial, Terms, list[bytes]],
) -> None:
    _, terms, hops = overheard
    assert len(hops) == 5
    assert terms.packing.plaintexts == 1
    assert any(is_plain(terms, each) for each in ciphertexts(hops[-1], terms))
    assert SumHanded.from_bytes(hops[-1], terms).session == terms.session
    for hop in hops[:-1]:
        assert HopSealed.from_bytes(hop, terms).session == terms.session
        tried = ciphertexts(hop, terms)
        assert len(tried) > 10
        assert not any(is_plain(terms, each) for each in tried)


def test_no_reply_holds_a_number_of_a_hospital(overheard: tuple[Trial, Terms, list[bytes]]) -> None:
    trial, _, _ = overheard
    for reply in trial.grid.received:
        assert list(reply.content) == ["chorus"]
        assert not reply.content.config_records
        assert not reply.content.metric_records


def _other_model(trial: Trial) -> Change:
    def change(message: Message) -> Message:
        arrays = pack_arrays({name: array + 1 for name, array in trial.initial.items()})
        config = message.content.config_records["config"]
        message.content.update(
            request_record(message_in(message.content, "arrays", "config"), arrays, config)
        )
        return message

    return change


def test_a_hospital_that_is_shown_another_model_ends_the_round(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    trial.grid.before = at_step(REVEAL, _other_model(trial), trial.grid.ids[2])
    assert trial.session() is None
    (failed,) = trial.named("round_failed")
    assert failed["code"] == "VIEW"
    assert "the model is not the one that all hospitals signed for" in failed["reason"]
    assert not trial.named("ring_restarted")
    assert not (tmp_path / "clients" / "2.jsonl").exists()


def test_a_hop_that_was_altered_on_its_way_ends_the_round(tmp_path: Path) -> None:
    trial, hops = ring_trial(tmp_path), list[bytes]()

    def alter(message: Message) -> Message:
        data = bytearray(message_in(message.content))
        hops.append(bytes(data))
        if len(hops) == 3:
            data[-1] ^= 1
            message.content.update(request_record(bytes(data), None, None))
        return message

    trial.grid.before = at_step(HOP, alter)
    assert trial.session() is None
    (failed,) = trial.named("round_failed")
    assert failed["code"] == "VIEW"
    assert "CRYPTO: what came is not the sum that the hospital before sealed" in failed["reason"]
    assert len(hops) == 3


def test_a_total_that_was_altered_skips_the_last_and_opens_nothing_of_it(tmp_path: Path) -> None:
    trial, altered = ring_trial(tmp_path), list[int]()

    def alter(message: Message) -> Message:
        data = bytearray(message_in(message.content))
        if data[0] == 0x68 and not altered:
            data[-1] ^= 1
            altered.append(message.metadata.src_node_id)
            message.content.update(request_record(bytes(data), None, None))
        return message

    trial.grid.after = at_step(HOP, alter)
    model = trial.session()
    assert model is not None
    (restarted,) = trial.named("ring_restarted")
    assert restarted["dropped"] == altered
    assert numbers(model) == masked_without(trial.grid.ids.index(altered[0]))


def test_another_key_than_the_first_of_the_run_is_refused(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    assert trial.session(1) is not None
    settings = ring_settings(trial.settings)
    trial.strategy = PaillierRing(
        trial.inner, trial.spec, settings, trial.task.metric_names, trial.emit,
        private=PrivateKey(*_other_primes()),
    )  # fmt: skip
    assert trial.session(2) is None
    (failed,) = trial.named("round_failed")
    assert failed["code"] == "VIEW"
    assert "under another public key" in failed["reason"]


def _other_primes() -> tuple[int, int]:
    other = pair_of(3072)
    return other.p, other.q


def test_a_node_that_names_the_key_takes_that_and_no_other(tmp_path: Path) -> None:
    for digest, taken in ((PAIR.public.digest.hex(), True), ("ab" * 32, False)):
        folder = tmp_path / digest[:2]
        folder.mkdir()
        trial = ring_trial(folder)
        trial.grid.contexts[trial.grid.ids[0]].node_config["paillier-key"] = digest
        assert (trial.session() is not None) is taken


def test_two_nodes_of_one_identity_are_one_hospital(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    trial.grid.contexts[trial.grid.ids[4]].node_config["partition-id"] = 0
    assert trial.session() is not None
    (called,) = (event for event in trial.named("protocol_round") if event["protocol_round"] == ROLL_CALL)
    (refused,) = called["refused"]
    assert int(refused) in (trial.grid.ids[0], trial.grid.ids[4])
    (finished,) = trial.named("round_finished")
    assert finished["added"] == 4


def test_one_who_stays_away_comes_back_in_the_next_server_round(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path, {"rounds": 2, "drop": "1@hop:round1"})
    trial.start()
    assert [event["added"] for event in trial.named("round_finished")] == [4, 5, 5]
    assert [event["server_round"] for event in trial.named("ring_restarted")] == [1]


@pytest.mark.parametrize(("changed", "said"), [
    ({"roster": None}, "needs a roster"),
    ({"groups": 2, "cohort": 6}, "neither groups"),
    ({"modulus_bits": 24}, "64 bits"),
    ({"cohort": 2000}, "cannot be"),
])  # fmt: skip
def test_what_the_ring_cannot_do_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    settings = ring_settings(trial.settings)

    def make() -> PaillierRing:
        return PaillierRing(trial.inner, trial.spec, replace(settings, **changed), private=PAIR)

    with pytest.raises(ParameterError, match=said):
        make()


def test_a_run_without_any_sum_says_why(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    trial.grid.after = at_step(JOIN, swallow)
    with pytest.raises(NothingAggregated, match="0 clients are in the ring, 3 are needed"):
        trial.start()


def test_a_restart_goes_to_those_who_stayed_alone(tmp_path: Path) -> None:
    trial, asked = ring_trial(tmp_path), list[int]()

    def look(message: Message) -> Message:
        if is_restart(message_in(message.content)):
            asked.append(message.metadata.dst_node_id)
        return message

    trial.grid.before, gone = at_step(JOIN, look), trial.grid.ids[1]
    trial.grid.after = at_step(REVEAL, swallow, gone)
    config = training_record(trial.config)
    assert not list(trial.strategy.configure_train(1, trial.arrays(), config, trial.grid))
    assert sorted(asked) == sorted(set(trial.grid.ids) - {gone})
    assert np.isfinite(numbers(trial.strategy.aggregate_train(1, [])[0])[0]).all()  # type: ignore[arg-type]

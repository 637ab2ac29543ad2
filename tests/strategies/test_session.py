"""What one session tells, costs and survives."""

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

from app.plain_json import plain
from app.simulated_roster import lay_identities
from secagg.messages import KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from tests.support.local_grid import same_message
from tests.support.run import Trial, at, swallow
from wire.records import message_in, record_bytes, reply_record
from wire.rounds import ProtocolRound

R0, R1, R2, R4 = (ProtocolRound(f"r{number}") for number in (0, 1, 2, 4))


def rewritten(kind: Any, change: Any) -> Any:
    """Parse a reply, change it, put it back."""

    def tamper(message: Message) -> Message:
        message.content = reply_record(change(kind.from_bytes(message_in(message.content))).to_bytes())
        return message

    return tamper


def test_the_events_of_a_session_in_order() -> None:
    trial = Trial()
    assert trial.session() is not None
    names = [name for name, _ in trial.events]
    assert names == [
        "cohort_ready", "session_opened", *4 * ["protocol_round"], "round_finished",
    ]  # fmt: skip
    assert [e["protocol_round"] for e in trial.trips(1)] == ["r0", "r1", "r2", "r4"]
    for trip in trial.trips(1):
        assert (trip["asked"], trip["answered"], trip["missing"], trip["refused"]) == (5, 5, [], {})


def test_events_are_plain_json_that_a_run_directory_takes() -> None:
    trial = Trial({"drop": "1@r2:round1"})
    trial.start()
    for name, fields in trial.events:
        json.dumps(plain(fields)), name


def test_bytes_are_those_of_the_messages() -> None:
    trial = Trial()
    trial.session()
    up = sum(record_bytes(reply.content) for reply in trial.grid.received)
    down = sum(record_bytes(message.content) for message in trial.grid.sent)
    finished = trial.named("round_finished")[0]
    assert (finished["bytes_up"], finished["bytes_down"]) == (up, down)
    assert sum(e["bytes_up"] for e in trial.trips(1)) == up
    packed = trial.spec.tensor_length * 3
    scalars = 8 * trial.strategy._layout(trial_purpose()).length
    assert trial.trip(R2)["bytes_up"] == 5 * (2 + packed + scalars)


def trial_purpose() -> Any:
    from wire.rounds import Purpose

    return Purpose.TRAINING


@pytest.mark.parametrize("step", [R0, R2, R4])
def test_the_silent_are_missing_not_refused(step: ProtocolRound) -> None:
    trial = Trial()
    trial.grid.before = at(step, swallow, trial.grid.ids[2])
    assert trial.session() is not None
    assert trial.trip(step)["missing"] == [trial.grid.ids[2]]
    assert trial.trip(step)["refused"] == {}


def test_each_protocol_round_has_its_own_deadline() -> None:
    trial = Trial({"round-deadline": 0.3, "training-deadline": 0.6})
    trial.grid.before = at(R1, swallow, trial.grid.ids[2])
    assert trial.session() is not None
    assert trial.trip(R1)["seconds"] >= 0.6
    assert trial.trip(R2)["seconds"] < 0.6
    trial.grid.before = at(R2, swallow, trial.grid.ids[2], group="2")
    assert trial.session(2) is not None
    assert trial.trip(R2, 2)["seconds"] >= 0.3


def test_a_dropped_client_is_not_asked_again_in_this_session() -> None:
    trial = Trial()
    trial.grid.before = at(R2, swallow, trial.grid.ids[2])
    trial.session()
    assert trial.trip(R4)["asked"] == 4


@pytest.mark.parametrize("threshold", [4, 5])
def test_a_false_share_is_found_its_sender_named_and_the_sum_stands(threshold: int) -> None:
    settings = {"clients": 6, "threshold": threshold}
    trial, clean = Trial(settings), Trial(settings)
    liar = trial.grid.ids[0]

    def lie(revealed: SharesRevealed) -> SharesRevealed:
        wrong = {owner: share ^ 1 for owner, share in revealed.self_mask.items()}
        return SharesRevealed(wrong, revealed.mask_key, revealed.following)

    trial.grid.after = at(R4, rewritten(SharesRevealed, lie), liar)
    left, right = trial.session(), clean.session()
    assert left is not None
    assert right is not None
    found = trial.named("misbehaviour")
    assert {(e["culprit"], e["code"]) for e in found} == {(liar, "SHARE")}
    assert len(found) == 5  # its shares of the others; of its own it may say what it likes
    bound = trial.named("round_finished")[0]["error_bound"]
    for name in left:
        assert abs(left[name].numpy() - right[name].numpy()).max(initial=0) <= 2 * bound


def test_too_many_false_shares_end_the_round_with_the_model_unchanged() -> None:
    trial = Trial()

    def lie(revealed: SharesRevealed) -> SharesRevealed:
        wrong = {owner: (share + owner) % 2**255 for owner, share in revealed.self_mask.items()}
        return SharesRevealed(wrong, revealed.mask_key, revealed.following)

    liars = trial.grid.ids[:3]
    trial.grid.after = at(R4, rewritten(SharesRevealed, lie), *liars)
    assert trial.session() is None
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    assert {e["culprit"] for e in trial.named("misbehaviour")} == set(liars)


def test_a_share_that_does_not_open_makes_its_reader_abstain() -> None:
    trial = Trial()

    def garble(message: SharesSealed) -> SharesSealed:
        sealed = dict(message.sealed)
        sealed[2] = bytes(len(sealed[2]))
        return SharesSealed(message.commitment, sealed)

    trial.grid.after = at(R1, rewritten(SharesSealed, garble), trial.grid.ids[0])
    assert trial.session() is not None
    reason = trial.trip(R2)["refused"][str(trial.grid.ids[1])]
    assert reason.startswith("CRYPTO: the shares of peer 1 do not open")


def test_low_order_and_repeated_keys_are_dropped_before_anyone_sees_them() -> None:
    for change in (
        lambda keys: type(keys)(bytes(32), keys.channel),
        lambda keys: type(keys)(keys.mask, keys.mask),
    ):
        trial = Trial()

        def bad(message: Any, change: Any = change) -> Any:
            return type(message)(change(message.keys))

        trial.grid.after = at(R0, rewritten(KeysAdvertised, bad), trial.grid.ids[4])
        assert trial.session() is not None
        assert trial.trip(R0)["answered"] == 4
        assert trial.named("misbehaviour")[0]["culprit"] == trial.grid.ids[4]
        assert trial.trip(R1)["asked"] == 4


def test_clients_told_different_models_or_settings_hold_masks_that_do_not_cancel() -> None:
    def other(message: Message) -> Message:
        message.content.config_records["config"]["learning-rate"] = 0.2
        return message

    trial = Trial()
    trial.grid.before = at(R1, other, trial.grid.ids[0])
    # Its shares are sealed under another context: no peer can open them, and it cannot open theirs. None of theirs
    # opens, so it is the server that it does not trust; they see one peer's shares that do not.
    assert trial.session() is None
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    codes = {node: reason.partition(":")[0] for node, reason in trial.trip(R2)["refused"].items()}
    odd, *others = map(str, trial.grid.ids)
    assert codes == {odd: "VIEW", **dict.fromkeys(others, "CRYPTO")}


# Sessions against an active server.

R3 = ProtocolRound.CONSISTENCY_CHECK


def active_trial(folder: Path, **overrides: Any) -> Trial:
    """Five simulated clients with a roster in `folder`."""
    keys = lay_identities(folder, overrides.get("clients", 5))
    return Trial({"adversary": "active", "run-dir": str(folder), **keys, **overrides})


def asked(trial: Trial, server_round: int) -> dict[str, int]:
    """Protocol round -> how many were asked in it."""
    return {str(e["protocol_round"]): e["asked"] for e in trial.trips(server_round)}


def test_an_active_session_has_r3(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    assert trial.session() is not None
    assert asked(trial, 1) == {"r0": 5, "r1": 5, "r2": 5, "r3": 5, "r4": 5}


def test_an_active_session_gives_the_same_model_as_a_curious_one(tmp_path: Path) -> None:
    """Within what rounding may add."""
    active, curious = active_trial(tmp_path), Trial()
    left, right = active.session(), curious.session()
    assert left is not None
    assert right is not None
    bound = active.named("round_finished")[0]["error_bound"]
    for name in left:
        assert abs(left[name].numpy() - right[name].numpy()).max(initial=0) <= 2 * bound


def test_keys_of_one_finished_session_save_everybody_r0(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    for server_round in (1, 2, 3):
        assert trial.session(server_round) is not None
    assert [asked(trial, server_round)["r0"] for server_round in (1, 2, 3)] == [5, 0, 0]


def test_a_client_back_after_a_drop_costs_everybody_r0(tmp_path: Path) -> None:
    """Its keys would be of another origin than the others': nobody could tell them from old ones."""
    trial = active_trial(tmp_path)
    assert trial.session(1) is not None
    trial.grid.before = at(R4, swallow, trial.grid.ids[2], group="2")
    assert trial.session(2) is not None
    trial.grid.before = same_message
    for server_round in (3, 4):
        assert trial.session(server_round) is not None
        assert trial.trip(R4, server_round)["answered"] == 5
    assert [asked(trial, server_round)["r0"] for server_round in (1, 2, 3, 4)] == [5, 0, 5, 0]


def test_whoever_falls_silent_in_r3_is_counted_and_not_asked_again(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    silent = trial.grid.ids[1]
    trial.grid.before = at(R3, swallow, silent)
    assert trial.session() is not None
    assert trial.trip(R3)["missing"] == [silent]
    assert (trial.trip(R2)["answered"], trial.trip(R3)["answered"], trial.trip(R4)["asked"]) == (5, 4, 4)


def test_too_few_signatures_leave_the_model_as_it_was(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    trial.grid.before = at(R3, swallow, *trial.grid.ids[:2])
    assert trial.session() is None
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    assert R4 not in [e["protocol_round"] for e in trial.trips(1)]


def test_unsigned_keys_and_false_signatures_cost_their_sender_the_session(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    bare, liar = trial.grid.ids[0], trial.grid.ids[1]
    unsigned = rewritten(KeysAdvertised, lambda m: KeysAdvertised(m.keys))
    false = rewritten(SurvivorsSigned, lambda m: SurvivorsSigned(bytes(64)))

    def tamper(message: Message) -> Message | None:
        return at(R3, false, liar)(at(R0, unsigned, bare)(message) or message)

    trial.grid.after = tamper
    assert trial.session() is None  # four of five keys, then three signatures: one fewer than the threshold
    assert trial.trip(R0)["refused"][str(bare)].startswith("AUTH: ")
    assert trial.trip(R3)["refused"][str(liar)].startswith("AUTH: ")
    assert trial.trip(R3)["answered"] == 3


def test_a_client_that_goes_by_no_roster_refuses_and_so_does_one_in_a_curious_run(tmp_path: Path) -> None:
    trial = active_trial(tmp_path)
    without = trial.grid.ids[0]
    trial.grid.contexts[without].node_config["data-path"] = str(tmp_path)  # no simulated client any more
    assert trial.session() is not None
    assert "no place in a roster" in trial.trip(R0)["refused"][str(without)]
    curious = Trial()
    node, keys = curious.grid.ids[0], lay_identities(tmp_path, 5)
    curious.grid.contexts[node].node_config.update(
        {"identity-key": str(tmp_path / "identities" / "0.pem"), **keys}
    )
    assert curious.session() is not None
    assert curious.trip(R0)["refused"][str(node)].startswith("POLICY: this client goes by a roster")


@pytest.mark.parametrize("active", [False, True])
def test_a_client_serves_no_server_round_that_it_has_finished(active: bool, tmp_path: Path) -> None:
    """A server that takes back a round would see one client's model change between two sums."""
    trial = active_trial(tmp_path) if active else Trial()
    assert trial.session(2) is not None
    for earlier in (1, 2):
        trial.events.clear()
        assert trial.session(earlier) is None
        reasons = set(trial.trip(R1, earlier)["refused"].values())
        assert reasons == {
            "STATE: this server round is finished at this client; the server must go on to the next"
        }
    assert trial.session(3) is not None


def test_every_group_of_an_active_run_signs_for_itself(tmp_path: Path) -> None:
    trial = active_trial(tmp_path, clients=6, groups=2)
    assert trial.session() is not None
    signed = [e for e in trial.trips(1) if e["protocol_round"] == R3]
    assert [e["answered"] for e in signed] == [3, 3]

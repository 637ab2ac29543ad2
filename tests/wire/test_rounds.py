"""The names under which protocol rounds travel."""

from app.client_app import app
from wire.rounds import ProtocolRound, Purpose, RingStep


def test_every_protocol_round_is_an_action_flower_can_route() -> None:
    for step in ProtocolRound:
        assert step.action.isidentifier()
        assert step.message_type == f"train.{step.action}"
    assert [step.action for step in ProtocolRound] == [
        "advertise_keys", "share_keys", "masked_input", "consistency_check", "unmasking",
    ]  # fmt: skip


def test_every_step_of_the_ring_is_an_action_of_its_own() -> None:
    assert [step.action for step in RingStep] == ["ring_roll_call", "ring_join", "ring_reveal", "ring_hop"]
    for step in RingStep:
        assert step.action.isidentifier()
        assert step.message_type == f"train.{step.action}"


def test_the_client_app_answers_every_round_and_refuses_every_other_name() -> None:
    from clients import handlers, ring

    found = app._registered_funcs
    due = {step.message_type: getattr(handlers, step.action) for step in ProtocolRound}
    due |= {step.message_type: getattr(ring, step.name.lower()) for step in RingStep}
    assert {name: found[name] for name in due} == due
    others = {name: function for name, function in found.items() if name not in due}
    assert set(others.values()) == {handlers.refuse}
    assert {name.partition(".")[0] for name in others} == {"train", "evaluate", "query"}


def test_words_are_stable() -> None:
    assert [str(step) for step in ProtocolRound] == ["r0", "r1", "r2", "r3", "r4"]
    assert [str(purpose) for purpose in Purpose] == ["training", "evaluation", "analytics"]

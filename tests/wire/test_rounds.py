"""The names under which protocol rounds travel."""

from app.client_app import app
from wire.rounds import ProtocolRound, Purpose


def test_every_protocol_round_is_an_action_flower_can_route() -> None:
    for step in ProtocolRound:
        assert step.action.isidentifier()
        assert step.message_type == f"train.{step.action}"
    assert [step.action for step in ProtocolRound] == [
        "advertise_keys", "share_keys", "masked_input", "consistency_check", "unmasking",
    ]  # fmt: skip


def test_the_client_app_answers_every_round_and_refuses_every_other_name() -> None:
    from clients import handlers

    found = app._registered_funcs
    assert {step for step in ProtocolRound if step.message_type in found} == set(ProtocolRound)
    for step in ProtocolRound:
        assert found[step.message_type] is getattr(handlers, step.action)
    others = {
        name: function
        for name, function in found.items()
        if name not in {s.message_type for s in ProtocolRound}
    }
    assert set(others.values()) == {handlers.refuse}
    assert {name.partition(".")[0] for name in others} == {"train", "evaluate", "query"}


def test_words_are_stable() -> None:
    assert [str(step) for step in ProtocolRound] == ["r0", "r1", "r2", "r3", "r4"]
    assert [str(purpose) for purpose in Purpose] == ["training", "evaluation", "analytics"]

"""A state is stored under the round it awaits and gone once it is asked for."""

from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from wire import kept_state
from wire.rounds import ProtocolRound

NOTHING = ("", b"", b"")


def test_a_state_is_taken_once() -> None:
    store = RecordDict()
    kept_state.put(store, ProtocolRound.MASKED_INPUT, b"state", b"update")
    store = recorddict_from_proto(recorddict_to_proto(store))
    assert kept_state.take(store) == ("r2", b"state", b"update")
    assert kept_state.take(store) == NOTHING
    assert len(store) == 0


def test_nothing_was_kept() -> None:
    assert kept_state.take(RecordDict()) == NOTHING


def test_a_new_state_replaces_the_old_one() -> None:
    store = RecordDict()
    kept_state.put(store, ProtocolRound.SHARE_KEYS, b"old", b"old update")
    kept_state.put(store, ProtocolRound.UNMASKING, b"new")
    assert kept_state.take(store) == ("r4", b"new", b"")


def test_what_others_keep_is_left_alone() -> None:
    store = RecordDict({"theirs": ConfigRecord({"a": 1})})
    kept_state.put(store, ProtocolRound.SHARE_KEYS, b"s")
    kept_state.take(store)
    assert list(store) == ["theirs"]


@pytest.mark.parametrize("key", ["awaited", "state", "update"])
@pytest.mark.parametrize("value", [None, 1, 1.0, True])
def test_a_damaged_state_is_no_state(key: str, value: Any) -> None:
    store = RecordDict()
    kept_state.put(store, ProtocolRound.SHARE_KEYS, b"s")
    if value is None:
        del store.config_records["chorus"][key]
    else:
        store.config_records["chorus"][key] = value
    assert kept_state.take(store) == NOTHING
    assert len(store) == 0


def test_a_record_of_another_kind_under_the_same_name_is_no_state() -> None:
    assert kept_state.take(RecordDict({"chorus": ArrayRecord()})) == NOTHING


def test_the_runs_layout_outlives_sessions_and_the_wire() -> None:
    store = RecordDict()
    assert kept_state.layout_of(store) == b""
    kept_state.keep_layout(store, b"one" * 10)
    kept_state.put(store, ProtocolRound.MASKED_INPUT, b"state", b"update")
    store = recorddict_from_proto(recorddict_to_proto(store))
    assert kept_state.take(store) == ("r2", b"state", b"update")
    assert kept_state.layout_of(store) == b"one" * 10
    kept_state.keep_layout(store, b"two")
    assert kept_state.layout_of(store) == b"two"


@pytest.mark.parametrize("record", [ConfigRecord({}), ConfigRecord({"layout": "text"}), ArrayRecord({})])
def test_a_memory_of_another_kind_is_none(record: Any) -> None:
    assert kept_state.layout_of(RecordDict({"chorus run": record})) == b""


def test_the_last_finished_server_round_outlives_sessions_and_the_wire() -> None:
    store = RecordDict()
    assert kept_state.last_round_of(store) == 0
    kept_state.keep_layout(store, b"layout")
    kept_state.finish_round(store)
    assert kept_state.last_round_of(store) == 0  # none was begun
    kept_state.begin_round(store, 3)
    assert kept_state.last_round_of(store) == 0
    kept_state.finish_round(store)
    kept_state.put(store, ProtocolRound.SHARE_KEYS, b"state")
    store = recorddict_from_proto(recorddict_to_proto(store))
    kept_state.take(store)
    assert kept_state.last_round_of(store) == 3
    assert kept_state.layout_of(store) == b"layout"
    kept_state.begin_round(store, 4)
    kept_state.finish_round(store)
    kept_state.keep_layout(store, b"another")
    assert (kept_state.last_round_of(store), kept_state.layout_of(store)) == (4, b"another")


@pytest.mark.parametrize(
    "record", [ConfigRecord({}), ConfigRecord({"round": "3"}), ConfigRecord({"round": 3.0})]
)
def test_a_finished_round_of_another_kind_is_none(record: Any) -> None:
    assert kept_state.last_round_of(RecordDict({"chorus run": record})) == 0


def test_the_key_holders_key_is_remembered_beside_the_round() -> None:
    store = RecordDict()
    assert kept_state.pinned_in(store) == b""
    kept_state.pin(store, b"k" * 32)
    kept_state.begin_round(store, 3)
    kept_state.finish_round(store)
    kept_state.take(store)
    assert kept_state.pinned_in(store) == b"k" * 32
    assert kept_state.last_round_of(store) == 3

"""Hostile and faulty inputs that live in the Flower seam, and the one answer to each.

The number a test's name starts with is the input's number in the threat catalogue. Answers: the client
leaves the session with a typed line and forgets it; the server drops the sender and nobody else; a round
that cannot go on leaves the model unchanged and the loop goes on.
"""

import io
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from app.config import RunConfig
from arithmetic.errors import ConfigError, ParameterError
from arithmetic.layout import VectorSpec
from clients import handlers
from secagg.messages import Invitation
from secagg.params import Session
from strategies.secure_aggregation import SecureAggregation
from strategies.settings import Settings
from tests.support.local_grid import LocalGrid
from tests.support.run import Trial, at, swallow
from wire.records import message_record, reply_record, request_record
from wire.rounds import ProtocolRound

R0, R1, R2, R4 = (ProtocolRound(f"r{number}") for number in (0, 1, 2, 4))
TRIPS = (R0, R1, R2, R4)
CODES = {"FORMAT", "AUTH", "STATE", "VIEW", "POLICY", "CRYPTO", "SHARE", "RANGE", "QUORUM", "CONFIG", "ENV"}


def typed(reply: Message) -> str:
    """The code of an error reply that is one printable line of at most 200 characters, or a failure."""
    assert reply.has_error(), "the client answered"
    reason = reply.error.reason
    assert reason is not None
    assert len(reason) <= 200
    assert reason.isprintable()
    assert "Traceback" not in reason
    code, _, text = reason.partition(": ")
    assert code in CODES
    assert text
    assert reply.error.code == 1000 + list(handlers._ERROR_CODES).index(code)
    return code


def is_idle(grid: LocalGrid, node: int) -> bool:
    """Whether nothing of a session is left at the client."""
    return "chorus" not in grid.contexts[node].state


def victim_of(trial: Trial) -> int:
    return int(trial.grid.ids[1])


def refusal(
    change: Callable[[Message], Message | None], protocol_round: ProtocolRound, outgoing: bool = False
) -> tuple[str, Trial]:
    """The reason why one client of five is dropped when one message of its changes; the sum of the other
    four must come out all the same.
    """
    trial = Trial()
    tamper = at(protocol_round, change, victim_of(trial))
    if outgoing:
        trial.grid.after = tamper
    else:
        trial.grid.before = tamper
    assert trial.session() is not None
    refused = trial.trip(protocol_round)["refused"]
    assert list(refused) == [str(victim_of(trial))]
    assert trial.named("round_finished")[0]["unmasked"] == 4
    reason = refused[str(victim_of(trial))]
    assert reason.isprintable()
    assert len(reason) <= 250
    if not outgoing:
        assert is_idle(trial.grid, victim_of(trial))
        typed(next(r for r in trial.grid.received if r.has_error()))
    return str(reason), trial


def edited(edit: Callable[[RecordDict], object]) -> Callable[[Message], Message]:
    """A change of a message's content."""

    def change(message: Message) -> Message:
        edit(message.content)
        return message

    return change


def replaced(content: RecordDict) -> Callable[[Message], Message]:
    def change(message: Message) -> Message:
        message.content = content
        return message

    return change


def configured(key: str, value: Any) -> Callable[[Message], Message]:
    def edit(content: RecordDict) -> None:
        content.config_records["config"][key] = value

    return edited(edit)


def request(node: int, message_type: str, content: RecordDict, group: str = "1") -> Message:
    message = Message(content, node, message_type, group_id=group)
    message.metadata.__dict__["_message_id"] = "hostile"
    return message


def recorded(trial: Trial, node: int) -> dict[ProtocolRound, RecordDict]:
    """What the server sent to a client in one whole session."""
    assert trial.session() is not None
    return {
        step: next(
            m.content
            for m in trial.grid.sent
            if (m.metadata.message_type, m.metadata.dst_node_id) == (step.message_type, node)
        )
        for step in TRIPS
    }


# Server to client


@pytest.mark.parametrize("kind", ["train", "evaluate", "query", "train.consistency_check"])
def test_01_a_message_of_no_protocol_round_makes_the_client_leave(kind: str) -> None:
    trial = Trial()
    node = victim_of(trial)
    answers: list[Message] = []

    def probe(message: Message) -> Message:
        answers.append(trial.grid.ask(node, request(node, kind, message.content)))
        return message

    trial.grid.before = at(R2, probe, node)
    assert trial.session() is not None
    assert typed(answers[0]) == "STATE"
    assert trial.trip(R2)["refused"][str(node)].startswith("STATE: ")
    assert is_idle(trial.grid, node)


@pytest.mark.parametrize("kind", ["train.reveal_everything", "evaluate.share_keys", "query.unmasking"])
def test_01_an_unknown_message_type_reaches_no_handler(kind: str) -> None:
    trial = Trial()
    reply = trial.grid.ask(victim_of(trial), request(victim_of(trial), kind, RecordDict()))
    assert reply.has_error()
    assert is_idle(trial.grid, victim_of(trial))


def test_01_an_unknown_message_type_in_a_session_drops_one_client() -> None:
    def change(message: Message) -> Message:
        message.metadata.message_type = "train.reveal_everything"
        return message

    trial = Trial()
    trial.grid.before = at(R2, change, victim_of(trial))
    assert trial.session() is not None
    assert trial.trip(R2)["refused"].keys() == {str(victim_of(trial))}


IN_TURN = {(R0, R1), (R1, R2), (R2, R4), (R4, R1)}
OUT_OF_TURN = [(first, then) for first in TRIPS for then in (R1, R2, R4) if (first, then) not in IN_TURN]


@pytest.mark.parametrize(("first", "then"), OUT_OF_TURN)
def test_02_a_phase_skipped_repeated_or_reversed_is_out_of_turn(
    first: ProtocolRound, then: ProtocolRound
) -> None:
    trial = Trial()
    node = victim_of(trial)
    answers: list[Message] = []

    def probe(message: Message) -> Message:
        answers.append(trial.grid.ask(node, request(node, then.message_type, message.content)))
        return message

    # `then` is asked right after the client has answered `first`.
    trial.grid.after = at(first, probe, node)
    trial.session()
    assert [typed(answer) for answer in answers] == ["STATE"]


@pytest.mark.parametrize("step", [R1, R2, R4])
def test_02_a_repeated_request_finds_nothing(step: ProtocolRound) -> None:
    trial = Trial()
    node = victim_of(trial)
    sent = recorded(trial, node)
    # After the session only r1 of a new session is in turn; its identifier here is the finished one.
    reply = trial.grid.ask(node, request(node, step.message_type, sent[step]))
    assert typed(reply) == "STATE"
    assert is_idle(trial.grid, node)


@pytest.mark.parametrize("step", TRIPS)
def test_02_a_client_that_knows_nothing_answers_only_invitations(step: ProtocolRound) -> None:
    trial = Trial()
    sent = recorded(trial, victim_of(trial))
    stranger = Trial()
    reply = stranger.grid.ask(victim_of(trial), request(victim_of(trial), step.message_type, sent[step]))
    assert reply.has_content() if step is R0 else typed(reply) == "STATE"


@pytest.mark.parametrize("step", TRIPS)
def test_03_a_missing_record(step: ProtocolRound) -> None:
    reason, _ = refusal(edited(lambda content: content.pop("chorus")), step)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize("record", ["arrays", "config"])
def test_03_a_missing_model_or_configuration(record: str) -> None:
    reason, _ = refusal(edited(lambda content: content.pop(record)), R1)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize("key", ["learning-rate", "purpose", "layout-digest", "max-examples", "seed"])
def test_03_a_missing_setting(key: str) -> None:
    reason, _ = refusal(edited(lambda content: content.config_records["config"].pop(key)), R1)
    assert reason.startswith("FORMAT: ")
    assert key in reason


@pytest.mark.parametrize("step", TRIPS)
@pytest.mark.parametrize("extra", [MetricRecord({"a": 1}), ConfigRecord({"b": "c"}), ArrayRecord()])
def test_04_an_extra_record(step: ProtocolRound, extra: Any) -> None:
    reason, _ = refusal(edited(lambda content: content.__setitem__("extra", extra)), step)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
def test_04_an_extra_array_beside_the_message(step: ProtocolRound) -> None:
    more = Array("uint8", (1,), "chorus.message", b"x")
    reason, _ = refusal(
        edited(lambda content: content.array_records["chorus"].__setitem__("more", more)), step
    )
    assert reason.startswith("FORMAT: ")


def test_04_an_extra_setting() -> None:
    assert refusal(configured("noise-seed", 1.0), R1)[0].startswith("FORMAT: ")


WRONG: list[tuple[str, Any]] = [
    ("local-epochs", True), ("local-epochs", 1.0), ("local-epochs", "1"), ("local-epochs", [1]),
    ("learning-rate", 1), ("learning-rate", True), ("learning-rate", "0.1"), ("learning-rate", b"0.1"),
    ("encoding-bound", 1), ("max-examples", 10000.0), ("layout-digest", "00" * 32), ("layout-digest", 0),
    ("task", b"digits"), ("task", 0), ("purpose", ""), ("purpose", "both"), ("purpose", b"training"),
    ("seed", 0.0), ("seed", ""), ("proximal-mu", 0), ("data-path", b""), ("device", [""]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_05_a_setting_of_the_wrong_type(key: str, value: Any) -> None:
    reason, _ = refusal(configured(key, value), R1)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
@pytest.mark.parametrize(
    "record", [ConfigRecord({"message": b"bytes"}), MetricRecord({"message": 1.0}), ArrayRecord()]
)
def test_05_a_message_in_a_record_of_another_kind(step: ProtocolRound, record: Any) -> None:
    reason, _ = refusal(edited(lambda content: content.__setitem__("chorus", record)), step)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize(("record", "value"), [("arrays", ConfigRecord()), ("config", ArrayRecord())])
def test_05_model_and_configuration_swapped(record: str, value: Any) -> None:
    reason, _ = refusal(edited(lambda content: content.__setitem__(record, value)), R1)
    assert reason.startswith("FORMAT: ")


@pytest.mark.parametrize("group", ["", "-1", "1.0", "²", "one", "1" * 10, "1\n", " 1"])
def test_05_a_server_round_that_is_no_number(group: str) -> None:
    trial = Trial()
    node = victim_of(trial)
    invitation = Invitation(Session(b"s" * 32, 1, trial.params)).to_bytes()
    content = request_record(invitation, None, None)
    assert typed(trial.grid.ask(node, request(node, R0.message_type, content, group))) == "FORMAT"


@pytest.mark.parametrize("step", TRIPS)
def test_06_an_empty_record(step: ProtocolRound) -> None:
    assert refusal(replaced(RecordDict()), step)[0].startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
def test_06_an_empty_message(step: ProtocolRound) -> None:
    empty = edited(lambda content: content.__setitem__("chorus", message_record(b"")))
    assert refusal(empty, step)[0].startswith("FORMAT: ")


@pytest.mark.parametrize("key", ["task", "device", "partition", "data-path"])
def test_07_ten_megabytes_of_text_in_a_setting(key: str) -> None:
    reason, _ = refusal(configured(key, "a" * 10_000_000), R1)
    assert reason.startswith("FORMAT: ")


def test_07_ten_megabytes_where_a_digest_fits() -> None:
    assert refusal(configured("layout-digest", bytes(10_000_000)), R1)[0].startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
def test_07_ten_megabytes_of_message(step: ProtocolRound) -> None:
    def grow(content: RecordDict) -> None:
        data = bytes(content.array_records["chorus"]["message"].data) + bytes(10_000_000)
        content["chorus"] = message_record(data)

    assert refusal(edited(grow), step)[0].startswith("FORMAT: ")


def test_42_unmasking_before_a_vector_was_sent() -> None:
    def change(message: Message) -> Message:
        message.metadata.message_type = R4.message_type
        return message

    assert refusal(change, R2)[0].startswith("STATE: ")


def test_43_a_second_unmasking_request_finds_nothing() -> None:
    trial = Trial()
    node = victim_of(trial)
    answers: list[Message] = []

    def twice(message: Message) -> Message:
        again = request(node, R4.message_type, message.content)
        answers.extend(trial.grid.ask(node, again) for _ in range(2))
        return message

    trial.grid.before = at(R4, twice, node)
    assert trial.session() is not None
    assert answers[0].has_content()
    assert typed(answers[1]) == "STATE"
    assert trial.trip(R4)["refused"].keys() == {str(node)}


@pytest.mark.parametrize("step", TRIPS)
def test_45_a_message_for_another_node(step: ProtocolRound) -> None:
    def change(message: Message) -> Message:
        return request(message.metadata.dst_node_id + 1, step.message_type, message.content)

    trial = Trial()
    node = victim_of(trial)
    answers: list[Message] = []
    trial.grid.before = at(step, lambda m: answers.append(trial.grid.ask(node, change(m))) or m, node)
    trial.session()
    assert typed(answers[0]) == "FORMAT"


# Client to server


def test_46_a_reply_from_a_node_that_was_not_asked() -> None:
    trial = Trial()

    def forge(reply: Message) -> Message:
        stranger = request(9999, R2.message_type, RecordDict())
        trial.grid.injected.append(Message(reply.content, reply_to=stranger))
        return reply

    trial.grid.after = at(R2, forge, victim_of(trial))
    clean = Trial()
    left, right = trial.session(), clean.session()
    assert left is not None
    assert right is not None
    assert trial.trip(R2)["answered"] == 5
    assert trial.trip(R2)["bytes_up"] == clean.trip(R2)["bytes_up"]
    bound = trial.named("round_finished")[0]["error_bound"]
    assert np.max(np.abs(left["last.weight"].numpy() - right["last.weight"].numpy())) <= 2 * bound


@pytest.mark.parametrize("step", TRIPS)
def test_47_the_sender_a_reply_names_is_not_believed(step: ProtocolRound) -> None:
    trial = Trial()
    other = trial.grid.ids[3]

    def pretend(reply: Message) -> Message:
        reply.metadata.__dict__["_src_node_id"] = other
        return reply

    trial.grid.after = at(step, pretend, victim_of(trial))
    assert trial.session() is not None
    assert trial.trip(step)["answered"] == 5
    assert trial.grid.received[TRIPS.index(step) * 5 + 1].metadata.src_node_id == other


def test_47_a_message_made_for_another_client_is_of_no_use() -> None:
    trial = Trial()
    seen: list[RecordDict] = []
    trial.grid.after = at(R1, lambda m: seen.append(m.content) or m, trial.grid.ids[0])
    steal = at(R1, lambda m: replaced(seen[0])(m), victim_of(trial))
    first = trial.grid.after
    trial.grid.after = lambda m: steal(first(m))  # type: ignore[arg-type]
    assert trial.session() is not None
    # Sealed for other recipients by another index: it does not name exactly this client's neighbours.
    assert trial.trip(R1)["refused"][str(victim_of(trial))].startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
def test_48_of_two_replies_to_one_request_the_first_counts(step: ProtocolRound) -> None:
    trial = Trial()

    def twice(reply: Message) -> Message:
        copy = Message(reply.content, reply_to=request(1, step.message_type, RecordDict()))
        copy.metadata.__dict__["_reply_to_message_id"] = reply.metadata.reply_to_message_id
        trial.grid.injected.append(copy)
        return reply

    trial.grid.after = at(step, twice, victim_of(trial))
    assert trial.session() is not None
    assert trial.trip(step)["answered"] == 5
    assert trial.trip(step)["refused"] == {}


def test_49_a_reply_after_the_deadline_is_never_merged() -> None:
    trial = Trial()
    late: list[Message] = []
    hold = at(R2, lambda m: late.append(m), victim_of(trial))  # type: ignore[func-returns-value]
    release = at(R4, lambda m: trial.grid.injected.extend(late) or m)
    trial.grid.after = lambda m: None if (held := hold(m)) is None else release(held)
    assert trial.session() is not None
    assert len(late) == 1
    assert trial.trip(R2)["missing"] == [victim_of(trial)]
    assert trial.named("round_finished")[0]["unmasked"] == 4


@pytest.mark.parametrize(("step", "instead"), [(a, b) for a in TRIPS for b in TRIPS if a is not b])
def test_50_a_reply_to_another_phase(step: ProtocolRound, instead: ProtocolRound) -> None:
    source = Trial()
    recorded(source, victim_of(source))
    foreign = source.grid.received[TRIPS.index(instead) * 5 + 1].content
    assert refusal(replaced(foreign), step, outgoing=True)[0].startswith("FORMAT: ")


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def archive(kind: str, mark: Path) -> bytes:
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, np.zeros(100, np.uint32))
    elif kind == "npz":
        np.savez(buffer, a=np.zeros(100, np.uint32))
    elif kind == "object npy":
        np.save(buffer, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    elif kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("x", bytes(1000))
    else:
        return pickle.dumps(Bomb(mark))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz", "object npy", "zip", "pickle"])
@pytest.mark.parametrize("step", TRIPS)
def test_57_archives_instead_of_words_are_never_parsed(
    kind: str, step: ProtocolRound, tmp_path: Path
) -> None:
    data = archive(kind, tmp_path / "ran")
    assert refusal(replaced(reply_record(data)), step, outgoing=True)[0].startswith("FORMAT: ")
    dressed = RecordDict({"chorus": ArrayRecord({"message": Array("uint8", (4,), "numpy.ndarray", data)})})
    assert refusal(replaced(dressed), step, outgoing=True)[0].startswith("FORMAT: ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["npy", "object npy", "pickle"])
def test_57_archives_instead_of_a_model_are_never_parsed(kind: str, tmp_path: Path) -> None:
    def dress(content: RecordDict) -> None:
        data = archive(kind, tmp_path / "ran")
        content.array_records["arrays"]["last.bias"] = Array("float32", (2,), "numpy.ndarray", data)

    assert refusal(edited(dress), R1)[0].startswith("FORMAT: ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [(2**31 - 1,), (10**6, 10**6), (-1, -10)])
@pytest.mark.parametrize("outgoing", [True, False])
def test_58_a_header_that_claims_more_than_there_is_allocates_nothing(
    shape: tuple[int, ...], outgoing: bool
) -> None:
    # Flower's wire format holds 32-bit sides, so 10^12 elements are claimed in two.
    def claim(content: RecordDict) -> None:
        name, record = ("message", "chorus") if outgoing else ("last.bias", "arrays")
        old = content.array_records[record][name]
        content.array_records[record][name] = Array(old.dtype, shape, old.stype, old.data)

    tracemalloc.start()
    reason, _ = refusal(edited(claim), R2 if outgoing else R1, outgoing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason.startswith("FORMAT: ")
    assert peak < 100_000_000


@pytest.mark.parametrize("step", TRIPS)
@pytest.mark.parametrize(
    "extra",
    [
        MetricRecord({"num-examples": 10, "loss": 0.5}), ConfigRecord({"note": "x"}),
        ArrayRecord({"w": Array("uint8", (1,), "chorus.message", b"w")}),
    ],
)  # fmt: skip
def test_59_metrics_or_arrays_beside_the_message(step: ProtocolRound, extra: Any) -> None:
    added = edited(lambda content: content.__setitem__("metrics", extra))
    reason, trial = refusal(added, step, outgoing=True)
    assert reason.startswith("FORMAT: ")
    assert "num-examples" not in repr(trial.events)


HOSTILE_TEXT = [
    "x" * 1_000_000, "\x1b[2J\x1b[31mred", "one\ntwo\r\nthree", "\u202eevil\u2066", "\x00\x07\x7f\x9b31m",
    "../../etc/passwd", "", "\ud7ff\u2028\u2029\ufeff", "RANGE: " + "9" * 500,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_TEXT, ids=range(len(HOSTILE_TEXT)))
@pytest.mark.parametrize("number", [60, 61])
def test_60_61_an_error_reply_is_cut_to_200_printable_characters(text: str, number: int) -> None:
    def fail(reply: Message) -> Message:
        origin = request(reply.metadata.src_node_id, reply.metadata.message_type, RecordDict())
        failed = Message(Error(number, text), reply_to=origin)
        failed.metadata.__dict__["_reply_to_message_id"] = reply.metadata.reply_to_message_id
        return failed

    reason, _ = refusal(fail, R1, outgoing=True)
    assert len(reason) <= 200
    assert reason.isascii()
    assert reason.isprintable()


def test_61_a_tensor_name_full_of_control_characters_is_escaped() -> None:
    def rename(content: RecordDict) -> None:
        content.array_records["arrays"]["\x1b[31m\u202e\x00/../x\n"] = Array(
            "float32", (9,), "chorus.raw", b""
        )

    assert refusal(edited(rename), R1)[0].startswith("FORMAT: ")


@pytest.mark.parametrize("step", TRIPS)
def test_62_all_reply_with_errors(step: ProtocolRound) -> None:
    trial = Trial()
    trial.grid.before = at(step, replaced(RecordDict()))
    assert trial.session(1) is None
    (failure,) = trial.named("round_failed")
    assert failure["code"] == "QUORUM"
    assert len(trial.trip(step)["refused"]) == 5
    assert trial.session(2) is not None


@pytest.mark.parametrize("step", [R0, R1, R2, R4])
@pytest.mark.parametrize("survivors", [4, 3])
def test_63_exactly_t_survivors_and_one_fewer(step: ProtocolRound, survivors: int) -> None:
    trial = Trial()  # five clients, threshold 4
    assert trial.params.threshold == 4
    trial.grid.before = at(
        step, swallow if step is not R1 else replaced(RecordDict()), *trial.grid.ids[survivors:]
    )
    model = trial.session()
    assert (model is not None) == (survivors == 4)
    assert trial.trip(step)["answered"] == survivors
    if model is None:
        assert trial.named("round_failed")[0]["code"] == "QUORUM"


@pytest.mark.parametrize("step", [R0, R2, R4])
def test_64_all_vanish_and_the_loop_goes_on(step: ProtocolRound) -> None:
    trial = Trial({"rounds": 3})
    trial.grid.before = at(step, swallow)
    trial.start()
    (failure,) = trial.named("round_failed")
    assert (failure["server_round"], failure["code"]) == (1, "QUORUM")
    assert trial.strategy.aggregated == [2, 3]


def test_64_all_vanish_while_training() -> None:
    trial = Trial({"training-deadline": 0.3, "rounds": 2})
    trial.grid.before = at(R1, swallow)
    assert trial.session(1) is None
    assert trial.trip(R1)["missing"] == trial.grid.ids


@pytest.mark.parametrize("clients", [1, 2])
def test_65_one_or_two_clients_are_refused_by_the_server(clients: int) -> None:
    with pytest.raises(ConfigError, match=f"clients.*{clients}"):
        RunConfig.parse({"clients": clients})
    trial = Trial()
    with pytest.raises(ParameterError, match="cohort"):
        SecureAggregation(trial.inner, trial.spec, Settings(cohort=clients))
    with pytest.raises(ConfigError):
        RunConfig.parse({"min-cohort": clients})


@pytest.mark.parametrize("clients", [1, 2])
def test_65_one_or_two_clients_are_refused_by_the_client(clients: int) -> None:
    trial = Trial()
    node = victim_of(trial)
    forged = bytearray(Invitation(Session(b"s" * 32, 1, trial.params)).to_bytes())
    small = trial.params.cohort.to_bytes(4, "big"), clients.to_bytes(4, "big")
    start = forged.index(small[0], 42)
    forged[start : start + 4] = small[1]
    reply = trial.grid.ask(node, request(node, R0.message_type, request_record(bytes(forged), None, None)))
    assert typed(reply) == "POLICY"


# Data and numbers: the client abstains with a type, and says no number


def abstention(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any] | None = None, **patches: Any
) -> str:
    """What the server is told when local work of one client goes as patched; one line, without digits."""
    from clients import work

    trial = Trial(overrides)
    for name, broken in patches.items():
        honest = getattr(work, name)

        def chosen(*args: Any, name: str = name, honest: Any = honest, broken: Any = broken) -> Any:
            node = next((one for one in args if isinstance(one, work.Node)), None)
            partition = args[-1] if name == "train" else node.partition_id if node else 1
            return broken(honest, *args) if partition == 1 else honest(*args)

        monkeypatch.setattr(work, name, chosen)
    assert trial.session() is not None
    reason = str(trial.trip(R1)["refused"][str(victim_of(trial))])
    assert trial.trip(R1)["answered"] == 4
    assert is_idle(trial.grid, victim_of(trial))
    said = reason.replace("at least 1;", "").replace("beyond 1e+06 an example", "")  # constants, not data
    assert not any(character.isdigit() for character in said), reason
    return reason


def with_data(train: Any, held: Any) -> Callable[..., Any]:
    """A client's data cut to some of its examples."""
    from torch.utils.data import TensorDataset

    from clients.tasks import ClientData

    def cut(honest: Any, *args: Any) -> Any:
        data = honest(*args)
        return ClientData(TensorDataset(*data.train[train]), TensorDataset(*data.validation[held]))

    return cut


def test_66_no_training_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abstention(monkeypatch, _data=with_data(slice(0), slice(None))).startswith("RANGE: ")


def test_66_no_validation_examples_is_a_zero_under_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    from clients import work

    honest = work._data

    def unjudged(task: Any, assignment: Any, node: Any) -> Any:
        cut = with_data(slice(None), slice(0))
        return (
            cut(honest, task, assignment, node) if node.partition_id == 1 else honest(task, assignment, node)
        )

    whole = Trial()
    assert whole.session() is not None
    monkeypatch.setattr(work, "_data", unjudged)
    trial = Trial()
    assert trial.session() is not None
    assert trial.trip(R1)["answered"] == 5
    assert trial.trip(R2)["bytes_up"] == whole.trip(R2)["bytes_up"]
    assert trial.named("round_finished")[0]["loss"] != whole.named("round_finished")[0]["loss"]


def test_66_one_row_and_a_model_that_needs_two(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abstention(monkeypatch, _data=with_data(slice(1), slice(None))).startswith("RANGE: ")


def test_66_one_row_and_a_model_that_bears_it_counts_with_weight_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from clients import work

    honest = work._data

    def one_row(task: Any, assignment: Any, node: Any) -> Any:
        cut = with_data(slice(1), slice(None))
        return (
            cut(honest, task, assignment, node) if node.partition_id == 1 else honest(task, assignment, node)
        )

    monkeypatch.setattr(work, "_data", one_row)
    trial = Trial({"task": "digits", "clients": 3})
    assert trial.session() is not None
    assert trial.trip(R1)["answered"] == 3


def test_66_a_batch_larger_than_the_data() -> None:
    trial = Trial({"batch-size": 1_000_000})
    assert trial.session() is not None
    assert trial.trip(R1)["answered"] == 5


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_68_a_loss_that_is_not_finite_stays_at_home(monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    import torch

    from tests.support.tiny_task import Tiny

    def broken(self: Any, model: Any, batch: Any) -> Any:
        found = honest(self, model, batch)
        return found * loss if torch.get_num_threads() == 1 and marked else found

    honest, marked = Tiny.loss, []

    def mark(real: Any, *args: Any) -> Any:
        marked.append(True)
        try:
            return real(*args)
        finally:
            marked.clear()

    monkeypatch.setattr(Tiny, "loss", broken)
    assert abstention(monkeypatch, train=mark).startswith("RANGE: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_68_a_metric_out_of_range_stays_at_home(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    from tests.support.tiny_task import Tiny

    honest, calls = Tiny.evaluate_batch, []

    def broken(self: Any, model: Any, batch: Any) -> Any:
        calls.append(len(batch[1]))
        found = honest(self, model, batch)
        return found | {"loss": value} if len(batch[1]) == 5 else found  # client 1 has five

    monkeypatch.setattr(Tiny, "evaluate_batch", broken)
    assert abstention(monkeypatch).startswith("RANGE: ")
    assert 5 in calls


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_68_an_update_that_is_not_finite_stays_at_home(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    from clients import work

    trained: list[int] = []

    def watch(honest: Any, *args: Any) -> Any:
        report = honest(*args)
        trained.append(1)
        return report

    def poison(honest: Any, model: Any) -> Any:
        arrays = honest(model)
        if trained:
            trained.clear()
            arrays["last.bias"][:] = value
        return arrays

    monkeypatch.setattr(work, "arrays_of", lambda model, honest=work.arrays_of: poison(honest, model))
    assert abstention(monkeypatch, train=watch).startswith("RANGE: ")


@pytest.mark.parametrize("examples", [0, -1, 10.0, float("nan"), True, "10", None])
def test_70_a_count_that_is_no_count(monkeypatch: pytest.MonkeyPatch, examples: Any) -> None:
    from clients.training import TrainingReport

    def lie(honest: Any, *args: Any) -> TrainingReport:
        report = honest(*args)
        return TrainingReport(examples, report.mean_loss, report.steps)

    assert abstention(monkeypatch, train=lie).startswith("RANGE: ")


@pytest.mark.parametrize("examples", [2**63, 2**64 + 1])
def test_70_a_count_beyond_every_limit_is_clamped_by_the_documented_policy(
    monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    from clients import work
    from clients.training import TrainingReport

    honest = work.train
    monkeypatch.setattr(work, "train", lambda *args: TrainingReport(examples, honest(*args).mean_loss, 1))
    trial = Trial()
    assert trial.session() is not None
    assert trial.named("round_finished")[0]["weights_clamped"] == 5


def test_73_buffers_tied_frozen_and_empty_tensors_sum_like_a_plain_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from clients import work

    updates: list[Any] = []
    weights: list[int] = []
    flatten, weigh = VectorSpec.flatten_update, work.weight_of

    def watch(spec: VectorSpec, *args: Any) -> Any:
        found = flatten(spec, *args)
        updates.append(type(found)(found.tensor.copy(), found.integers.copy()))
        return found

    monkeypatch.setattr(VectorSpec, "flatten_update", watch)
    monkeypatch.setattr(work, "weight_of", lambda *args: weights.append(weigh(*args)) or weights[-1])
    trial = Trial({"modulus-bits": 48})
    model = trial.session()
    assert model is not None
    local = list(zip(weights, updates, strict=True))
    weight = sum(weights)
    tensor = sum(w * update.tensor for w, update in local) / weight
    integers = sum(w * update.integers for w, update in local) / weight
    plain = trial.spec.apply_mean(trial.initial, tensor, integers)
    bound = trial.named("round_finished")[0]["error_bound"]
    for name, array in plain.items():
        found = model[name].numpy()
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert np.all(np.abs(found - array) <= bound + 1e-6)
    np.testing.assert_array_equal(
        model["norm.num_batches_tracked"].numpy(), plain["norm.num_batches_tracked"]
    )


def test_an_unforeseen_failure_says_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(honest: Any, *args: Any) -> Any:
        raise ValueError("row 17 of alice.csv is secret")

    reason = abstention(monkeypatch, _data=explode)
    assert reason == "ENV: " + handlers._SAYS["ENV"]

"""Everything the server receives in a whole run, searched for everything that must stay with a client.

The haystack: every byte string of every reply (as Flower puts it on the wire), the events, and every file of
the run directory but `clients/` (a client's own log, which in a real deployment lies on another machine).
Text in hexadecimal or base64 is decoded and searched as well, so those forms cost no extra needles.

The needles: every window of 8 bytes, at every element, of each client's update and trained weights (float64
and float32), of its residues before masking (as words and packed), of every kept private key, seed, derived
mask and channel key and of the shares of private mask keys (never revealed unless a peer drops; nobody drops
here); losses, metric sums, example counts as 8-byte floats, integers and fixed-point words; and any decimal
number of 9 digits or more that equals one of these reals.

Not searched: windows with fewer than 4 distinct bytes, which occur by accident (the bare count 14 does);
4-byte forms of a single number, for the same reason; windows of a trained weight that equal the public model
the client was sent; shares of self-mask seeds, which r4 is meant to reveal.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from torch.utils.data import TensorDataset

from app.run_directory import RunDirectory
from arithmetic.field import to_bytes
from clients import steps, work
from clients.tasks import ClientData
from secagg.client import r1_share_keys, r2_masked_input, r4_unmasking
from secagg.client.states import AwaitingShares, AwaitingSignatures, AwaitingSurvivors, SecretKeys
from secagg.masks import Residues
from tests.support.local_grid import content_size
from tests.support.residues import packed
from tests.support.run import Trial, at
from wire import kept_state
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = (ProtocolRound(f"r{number}") for number in range(5))
WINDOW = 8
TINY_RUN = {"clients": 4, "rounds": 2, "modulus-bits": 24}
RUN = {"task": "digits", "clients": 4, "rounds": 2, "partition": "dirichlet", "modulus-bits": 24}
Windows = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass
class Secrets:
    """What the clients of a run held, by name, as bytes to be cut into windows; and single numbers."""

    blocks: dict[str, list[tuple[bytes, int]]] = field(default_factory=dict)  # bytes, stride of windows
    reals: dict[str, list[float]] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    public: list[bytes] = field(default_factory=list)

    def block(self, name: str, data: bytes, stride: int = 1) -> None:
        self.blocks.setdefault(name, []).append((data, stride))

    def array(self, name: str, values: np.ndarray[Any, Any]) -> None:
        flat = np.asarray(values, dtype=np.float64).ravel()
        for width in (8, 4):
            for order in "<>":
                self.block(name, flat.astype(f"{order}f{width}").tobytes(), width)
        self.reals.setdefault(name, []).extend(flat[np.abs(flat) > 1e-12].tolist())

    def number(self, name: str, value: float) -> None:
        fixed = round(value * 2**24)
        forms = [struct.pack(f"{order}d", value) for order in "<>"]
        forms += [(fixed % 2**64).to_bytes(8, order) for order in ("little", "big")]
        for form in forms:
            self.block(name, form, 8)
        self.reals.setdefault(name, []).append(value)

    def needles(self, name: str) -> Windows:
        known = windows(self.public)
        found = [cut(data, stride) for data, stride in self.blocks[name]]
        # Small residues are mostly 00 and ff: two of them look like any two small numbers of a message.
        least = 6 if name == "residues" else 4
        return np.setdiff1d(distinctive(np.unique(np.concatenate(found)), least), known)


def cut(data: bytes, stride: int) -> Windows:
    """Windows of 8 bytes that start at multiples of `stride`."""
    if len(data) < WINDOW:
        return np.empty(0, np.uint64)
    octets = np.frombuffer(data, np.uint8)
    view = np.lib.stride_tricks.sliding_window_view(octets, WINDOW)[::stride]
    return np.ascontiguousarray(view).view(np.uint64).ravel()


def windows(blocks: Iterable[bytes]) -> Windows:
    found = [np.unique(cut(block, 1)) for block in blocks]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def distinctive(found: Windows, least: int = 4) -> Windows:
    """Those with at least that many distinct bytes."""
    octets = np.sort(found.view(np.uint8).reshape(-1, WINDOW), axis=1)
    return found[(np.diff(octets.astype(np.int16), axis=1) != 0).sum(axis=1) >= least - 1]


def decoded(haystack: Iterable[bytes]) -> list[bytes]:
    """What hexadecimal and base64 text in the haystack stands for, at every alignment."""
    found = []
    for block in haystack:
        for run in re.findall(rb"[0-9A-Fa-f]{16,}", block):
            parts = (run[start : len(run) - (len(run) - start) % 2] for start in (0, 1))
            found += [bytes.fromhex(part.decode()) for part in parts]
        for run in re.findall(rb"[A-Za-z0-9+/_-]{12,}", block):
            plain = run.translate(bytes.maketrans(b"-_", b"+/"))
            parts = (plain[start : len(plain) - (len(plain) - start) % 4] for start in range(4))
            found += [base64.b64decode(part) for part in parts]
    return found


def numbers(haystack: Iterable[bytes]) -> list[tuple[float, int]]:
    """Decimal numbers written with at least 9 digits, and how many."""
    found = []
    for block in haystack:
        for run in re.findall(rb"-?\d+\.\d+(?:e-?\d+)?", block):
            digits = len(re.sub(rb"e.*|\D", b"", run).lstrip(b"0"))
            if digits >= 9:
                found.append((float(run), digits))
    return found


def grep(secrets: Secrets, haystack: list[bytes]) -> dict[str, int]:
    """Name of what leaked -> hits."""
    everything = windows([*haystack, *decoded(haystack)])
    hits = {name: int(np.isin(secrets.needles(name), everything).sum()) for name in secrets.blocks}
    written = numbers(haystack)
    for name, values in secrets.reals.items():
        ordered = np.sort(np.array(values))
        for value, digits in written:
            near = ordered[max(np.searchsorted(ordered, value) - 1, 0) :][:2]
            hits[name] += int(np.any(np.abs(near - value) <= abs(value) * 10.0 ** (1 - min(digits, 15))))
    return {name: count for name, count in hits.items() if count}


def instrument(monkeypatch: pytest.MonkeyPatch) -> Secrets:  # noqa: C901 - a list of watchers
    """Watch the real client code at the places where secrets come into being."""
    secrets = Secrets()

    def watch(module: Any, name: str, look: Callable[..., None]) -> None:
        honest = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = honest(*args, **kwargs)
            look(result, *args)
            return result

        monkeypatch.setattr(module, name, watched)

    def encoded(_: Any, values: Any, *rest: Any) -> None:
        secrets.array("scaled update", values)

    def flattened(model: Any) -> Any:
        arrays = honest_arrays(model)
        secrets.array("trained weights", np.concatenate([array.ravel() for array in arrays.values()]))
        return arrays

    def trained(report: Any, *_: Any) -> None:
        secrets.number("training loss", report.mean_loss)
        secrets.number("training loss", report.mean_loss * report.examples)
        secrets.counts.append(report.examples)

    def judged(report: Any, *_: Any) -> None:
        secrets.number("evaluation loss", report.loss_sum)
        secrets.number("evaluation loss", report.loss_sum / report.examples)
        secrets.number("accuracy", report.metric_sums["accuracy"] / report.examples)
        secrets.counts.append(report.examples)

    def keys(made: Any, *_: Any) -> None:
        secrets.block("private keys", made.mask.private)
        secrets.block("private keys", made.channel.private)

    def kept(_: Any, store: Any, awaited: ProtocolRound, state: bytes, update: bytes = b"") -> None:
        if awaited is R2:
            secrets.block("self-mask seeds", AwaitingShares.from_bytes(state).seed)
            secrets.block("residues", update[1:], 4)
        if awaited in (R3, R4):
            signed = state[:1] == b"\x24"
            told = (
                AwaitingSignatures.from_bytes(state).told if signed else AwaitingSurvivors.from_bytes(state)
            )
            for share in told.mask_key.values():
                secrets.block("shares of mask keys", to_bytes(share))

    def seed(made: Any, *_: Any) -> None:
        secrets.block("mask seeds", made.tensor)
        secrets.block("mask seeds", made.scalars)

    honest_arrays, honest_mask = work.arrays_of, steps.mask_step

    def masking(state: Any, delivered: Any, vector: Residues) -> Any:
        secrets.block("residues", vector.tensor.tobytes(), 4)
        secrets.block("residues", packed(vector.tensor, 24), 3)
        secrets.block("scalars before masking", vector.scalars.tobytes(), 8)
        secrets.block("scalars before masking", vector.scalars.astype(">u8").tobytes(), 8)
        return honest_mask(state, delivered, vector)

    honest_data = work._data

    def uneven(task: Any, assignment: Any, node: Any) -> ClientData:
        data, number = honest_data(task, assignment, node), 1 + node.partition_id
        parts = [part[: len(part) - len(part) // 12 * number] for part in (data.train, data.validation)]  # type: ignore[arg-type, index]
        return ClientData(*(TensorDataset(*part) for part in parts))

    monkeypatch.setattr(work, "_data", uneven)
    watch(work, "_encode", encoded)
    watch(work, "train", trained)
    watch(work, "evaluate", judged)
    watch(kept_state, "put", kept)
    monkeypatch.setattr(work, "arrays_of", flattened)
    monkeypatch.setattr(steps, "mask_step", masking)
    generate = SecretKeys.generate

    def generating(entropy: Any) -> Any:
        made = generate(entropy)
        keys(made)
        return made

    monkeypatch.setattr(SecretKeys, "generate", generating)
    for module in (r1_share_keys, r2_masked_input):
        watch(module, "channel_key", lambda key, *_: secrets.block("channel keys", key))
    for name in ("self_mask_seed", "pairwise_mask_seed"):
        watch(r2_masked_input, name, seed)
    assert r4_unmasking.SecretKeys is SecretKeys
    return secrets


@dataclass
class Recorded:
    trial: Trial
    secrets: Secrets
    directory: RunDirectory

    @property
    def haystack(self) -> list[bytes]:
        files = [path for path in self.directory.path.rglob("*") if path.is_file()]
        own = self.directory.path / "clients"
        kept = [path.read_bytes() for path in files if own not in path.parents]
        return [*self.trial.grid.wire, *kept]


def whole_run(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: dict[str, Any],
    leak: Callable[[Secrets, Message], Message] | None = None,
) -> Recorded:
    """A run with a run directory, as the ServerApp makes it; `leak` is what a treacherous client adds."""
    secrets = instrument(monkeypatch)
    trial = Trial(overrides)
    directory = RunDirectory.create(root, trial.config)
    for context in trial.grid.contexts.values():
        context.run_config["run-dir"] = str(directory.path)
    emit = trial.emit

    def emitting(event: str, **fields: object) -> None:
        emit(event, **fields)
        directory.emit(event, **fields)

    trial.strategy.emit = emitting
    if leak is not None:
        trial.grid.after = lambda message: leak(secrets, message)
    models = [trial.arrays()]
    result = trial.strategy.start(
        trial.grid, trial.arrays(), 2, train_config=training_record(trial),
        evaluate_fn=lambda _, arrays: models.append(arrays),
    )  # fmt: skip
    secrets.public += [array.data for model in models for array in model.values()]
    directory.save_model({name: array.numpy() for name, array in result.arrays.items()})
    return Recorded(trial, secrets, directory)


def training_record(trial: Trial) -> ConfigRecord:
    from app import server_app

    return server_app.training_record(trial.config)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        yield whole_run(tmp_path_factory.mktemp("runs"), patch, RUN)


NAMES = {
    "scaled update", "trained weights", "training loss", "evaluation loss", "accuracy", "private keys",
    "self-mask seeds", "residues", "shares of mask keys", "mask seeds", "channel keys",
    "scalars before masking",
}  # fmt: skip


def test_every_kind_of_secret_was_captured(honest: Recorded) -> None:
    assert set(honest.secrets.blocks) == NAMES
    for name in NAMES:
        assert honest.secrets.needles(name).size >= 4, name
    assert honest.secrets.needles("trained weights").size > 10_000
    assert honest.secrets.needles("residues").size > 50_000
    assert sum(map(len, honest.haystack)) > 4 * 2 * 30_000
    assert {path.name for path in honest.directory.path.iterdir()} >= {"events.jsonl", "model.safetensors"}


def test_the_server_receives_nothing_that_must_stay_with_a_client(honest: Recorded) -> None:
    assert grep(honest.secrets, honest.haystack) == {}


def test_no_event_carries_the_count_of_one_client(honest: Recorded) -> None:
    counts = set(honest.secrets.counts)
    assert len(counts) >= 6
    said = [json.loads(line) for line in honest.directory.events.read_text().splitlines()]
    allowed = {"bytes_up", "bytes_down", "seconds", "time", "parameters", "saturated"}
    for event in said:
        plain = {key: value for key, value in event.items() if key not in allowed}
        values = {int(token) for token in re.findall(r"(?<![\w.])\d+(?![\w.])", json.dumps(plain))}
        assert not values & counts - set(range(20)), event


def test_replies_of_two_clients_with_different_data_are_equally_long(honest: Recorded) -> None:
    assert len(set(honest.secrets.counts)) > 4
    replies = honest.trial.grid.received
    per_session = [
        {content_size(reply) for reply in replies[start : start + 4]} for start in range(0, len(replies), 4)
    ]
    assert len(per_session) == 4 + 3 + 3
    assert all(len(found) == 1 for found in per_session)


# The positive control: the same grep finds each of these leaks in one reply of one client.


def newest(secrets: Secrets, name: str) -> bytes:
    return secrets.blocks[name][-1][0]


def in_array(name: str) -> Callable[[Secrets, Message], Message]:
    def leak(secrets: Secrets, message: Message) -> Message:
        data = newest(secrets, name)
        message.content["extra"] = ArrayRecord({"x": Array("uint8", (len(data),), "raw", data)})
        return message

    return leak


def in_text(name: str, form: Callable[[bytes], str]) -> Callable[[Secrets, Message], Message]:
    def leak(secrets: Secrets, message: Message) -> Message:
        message.content["extra"] = ConfigRecord({"note": "see " + form(newest(secrets, name)[:64])})
        return message

    return leak


def in_metrics(name: str) -> Callable[[Secrets, Message], Message]:
    def leak(secrets: Secrets, message: Message) -> Message:
        message.content["metrics"] = MetricRecord({"value": secrets.reals[name][-1]})
        return message

    return leak


def in_error(name: str, form: Callable[[Secrets], str]) -> Callable[[Secrets, Message], Message]:
    def leak(secrets: Secrets, message: Message) -> Message:
        failed = Message(Error(1000, "RANGE: " + form(secrets)), reply_to=message)
        failed.metadata.__dict__["_reply_to_message_id"] = message.metadata.reply_to_message_id
        return failed

    return leak


LEAKS: list[tuple[str, ProtocolRound, Callable[[Secrets, Message], Message]]] = [
    ("scaled update", R1, in_array("scaled update")),
    ("trained weights", R1, in_array("trained weights")),
    ("residues", R2, in_array("residues")),
    ("scalars before masking", R2, in_array("scalars before masking")),
    ("private keys", R0, in_text("private keys", bytes.hex)),
    ("private keys", R0, in_text("private keys", lambda data: base64.b64encode(data).decode())),
    ("private keys", R0, in_text("private keys", lambda key: base64.urlsafe_b64encode(b"x" + key).decode())),
    ("self-mask seeds", R1, in_text("self-mask seeds", lambda data: data.hex().upper())),
    ("mask seeds", R2, in_array("mask seeds")),
    ("channel keys", R1, in_array("channel keys")),
    ("shares of mask keys", R2, in_array("shares of mask keys")),
    ("evaluation loss", R1, in_metrics("evaluation loss")),
    ("training loss", R1, in_metrics("training loss")),
    ("training loss", R1, in_error("training loss", lambda s: f"loss {s.reals['training loss'][-1]}")),
    ("evaluation loss", R1, in_error("loss", lambda s: f"sum {s.reals['evaluation loss'][-2]:.12f}")),
    ("trained weights", R1, in_error("weights", lambda s: f"{s.reals['trained weights'][-3]:.10g}")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "step", "leak"), LEAKS, ids=range(len(LEAKS)))
def test_a_client_that_leaks_is_found(
    name: str,
    step: ProtocolRound,
    leak: Callable[[Secrets, Message], Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = instrument(monkeypatch)
    trial = Trial(TINY_RUN)
    trial.grid.after = at(step, lambda message: leak(secrets, message), trial.grid.ids[1])
    trial.session()
    assert name in grep(secrets, trial.grid.wire)


def test_a_leak_in_an_event_is_found_in_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leak(secrets: Secrets, message: Message) -> Message:
        if message.metadata.message_type != R1.message_type or message.metadata.src_node_id != 1008:
            return message
        failed = Message(Error(1000, f"RANGE: {secrets.reals['training loss'][-1]}"), reply_to=message)
        failed.metadata.__dict__["_reply_to_message_id"] = message.metadata.reply_to_message_id
        return failed

    run = whole_run(tmp_path, monkeypatch, TINY_RUN, leak)
    assert "training loss" in grep(run.secrets, [run.directory.events.read_bytes()])

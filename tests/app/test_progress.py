"""Printed lines from a recorded list of events."""

from pathlib import Path
from typing import Any

from app.phrases import printable, size
from app.progress import Progress, result_lines
from app.tail import Tail
from app.tallies import devices_line

FINISHED: dict[str, Any] = {
    "event": "round_finished",
    "server_round": 3,
    "purpose": "training",
    "keys": 10,
    "shares": 10,
    "masked": 8,
    "unmasked": 8,
    "accuracy": 0.91234,
    "loss": 0.5,
    "bytes_up": 123_456,
    "seconds": 1.25,
    "saturated": 0,
    "weights_clamped": 0,
}

RECORDED: list[dict[str, Any]] = [
    {
        "event": "run_started",
        "task": "digits",
        "strategy": "fedavg",
        "clients": 10,
        "threshold": 7,
        "neighbours": 0,
        "modulus_bits": 24,
        "parameters": 650,
        "rounds": 10,
    },
    {"event": "cohort_ready", "nodes": list(range(10))},
    {"event": "protocol_round", "protocol_round": "r0", "missing": [], "refused": {}},
    {"event": "protocol_round", "protocol_round": "r2", "missing": [4, 9], "refused": {}},
    {"event": "protocol_round", "protocol_round": "r4", "refused": {"7": "SHARE: bad\x1b[2J"}},
    {"event": "misbehaviour", "culprit": 7, "code": "SHARE", "reason": "a share that lies"},
    FINISHED,
    {
        "event": "round_failed",
        "server_round": 4,
        "purpose": "training",
        "code": "QUORUM",
        "reason": "6 survivors, threshold 7",
    },
    FINISHED | {"purpose": "evaluation", "server_round": 11, "saturated": 3, "accuracy": None},
]


def test_a_recorded_run() -> None:
    progress = Progress(rounds=10)
    lines = [line for event in RECORDED for line in progress.lines(event)]
    pad = " " * 14
    counts = "keys 10  shares 10  masked 8  unmasked 8"
    assert lines == [
        "digits, fedavg: 650 parameters, 10 clients, threshold 7, neighbours all, modulus 2^24",
        "cohort ready: 10 clients",
        f"round  3/10   {counts}  model in: accuracy 0.9123 loss 0.5000  up 123 kB  1.2 s",
        f"{pad}r2: 2 missing: 4, 9",
        f"{pad}r4: refused 7: SHARE: bad?[2J",
        f"{pad}misbehaviour of 7: SHARE: a share that lies",
        "round  4/10   no sum, model unchanged: QUORUM: 6 survivors, threshold 7",
        f"final model   {counts}  final accuracy - loss 0.5000  up 123 kB  1.2 s",
        f"{pad}3 coordinates clamped to the encoding bound",
    ]


def test_events_that_are_unknown_or_empty_print_nothing_and_never_fail() -> None:
    progress = Progress(rounds=1)
    assert progress.lines({"event": "news"}) == []
    assert progress.lines({}) == []
    for event in RECORDED:
        progress.lines({"event": event["event"]})


def test_what_is_planned_is_said_a_line_a_sentence() -> None:
    event = {"event": "privacy_planned", "mode": "local+client", "sentences": ["one", "another"]}
    assert Progress(rounds=1).lines(event) == ["privacy, planned: one", "privacy, planned: another"]


def test_many_missing_clients_are_cut() -> None:
    progress = Progress(rounds=1)
    progress.lines({"event": "protocol_round", "protocol_round": "r1", "missing": list(range(50))})
    assert progress.lines(FINISHED)[1].endswith("50 missing: 0, 1, 2, 3, 4 and 45 more")
    assert len(progress.lines(FINISHED)) == 1, "troubles are told once"


def test_error_bounds_are_told_once_below_the_final_model() -> None:
    final = FINISHED | {"purpose": "evaluation"}
    for closing in (final, {"event": "round_failed", "purpose": "evaluation"}):
        progress = Progress(rounds=3)
        for server_round, bound in ((1, 1.04e-4), (2, 0.0065), (3, 1.6e-6)):
            assert len(progress.lines(FINISHED | {"server_round": server_round, "error_bound": bound})) == 1
        _, told = progress.lines(closing)
        assert (
            told.strip()
            == "rounding moved no weight of the mean by more than 6.5e-03 in round 2, 1.6e-06 in round 3"
        )


def test_one_round_has_one_error_bound_and_a_run_without_any_tells_none() -> None:
    progress, final = Progress(rounds=1), FINISHED | {"purpose": "evaluation"}
    assert len(progress.lines(final)) == 1
    progress.lines(FINISHED | {"error_bound": 1.04e-4})
    assert progress.lines(final)[1].endswith(" by more than 1.0e-04 in round 3")


def test_the_result() -> None:
    event = {"accuracy": 0.97, "loss": 0.1, "rounds_aggregated": 9, "seconds": 31.0}
    first, second = result_lines(event, 10)
    assert first.startswith("result: accuracy 0.9700, loss 0.1000 (")
    assert "public test" not in first
    assert second == "9 of 10 rounds aggregated in 31.0 s"
    assert "public test set 0.9600" in result_lines(event | {"central_accuracy": 0.96}, 10)[0]


def test_devices_come_from_the_clients_own_logs(tmp_path: Path) -> None:
    assert devices_line(tmp_path) is None
    (tmp_path / "0.jsonl").write_text('{"event": "trained", "device": "cuda:0"}\n')
    (tmp_path / "1.jsonl").write_text('{"event": "trained", "device": "cpu"}\n{"torn')
    (tmp_path / "2.jsonl").write_text('{"event": "trained", "device": "cuda:0"}\n')
    assert devices_line(tmp_path) == "trained on: cuda:0 (2 clients), cpu (1 clients)"


def test_tail_reads_what_is_new_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert tail.new() == []
    path.write_text('{"event": "a"}\n{"event":')
    assert [e["event"] for e in tail.new()] == ["a"]
    assert tail.new() == []
    with path.open("a") as file:
        file.write(' "b"}\nrubbish\n{"event": "c"}\n')
    assert [e["event"] for e in tail.new()] == ["b", "c"]


def test_sizes() -> None:
    shown = [size(n) for n in (None, 0, 999, 1000, 123_456, 1_234_567, 9.99e9, 5e12)]
    assert shown == ["-", "0 B", "999 B", "1 kB", "123 kB", "1.23 MB", "9.99 GB", "5 TB"]


def test_a_peers_words_are_shown_printable_and_cut() -> None:
    assert printable("a\nb\u202ec\x00") == "a?b?c?"
    assert len(printable("x" * 10**6)) == 200


def test_a_resumed_run_and_its_checkpoints() -> None:
    progress = Progress(rounds=10)
    started = next(event for event in RECORDED if event["event"] == "run_started")
    resumed = started | {"event": "run_resumed", "server_round": 4, "groups": 2}
    first, second = progress.lines(resumed)
    assert first.startswith("digits, fedavg: 650 parameters, 10 clients in 2 groups")
    assert second == "continued after server round 4"
    refused = {
        "event": "checkpoint_refused",
        "code": "ENV",
        "reason": "5.checkpoint is torn\x1b or was changed",
    }
    assert progress.lines(refused) == ["not used: ENV: 5.checkpoint is torn? or was changed"]
    failed = {"event": "checkpoint_failed", "code": "ENV", "reason": "no room"}
    assert progress.lines(failed) == [" " * 14 + "ENV: no room"]


def test_an_analytics_run() -> None:
    progress = Progress(10)
    started = {
        "event": "run_started",
        "job": "analytics",
        "table": "t.csv",
        "statistics": 3,
        "clients": 5,
        "threshold": 4,
    }
    assert progress.lines(started) == [
        "analytics, t.csv: 3 statistics, 5 clients, threshold 4, neighbours all"
    ]
    failed = {
        "event": "round_failed",
        "purpose": "analytics",
        "server_round": 1,
        "code": "QUORUM",
        "reason": "few",
    }
    assert progress.lines(failed) == ["session 1     no sum: QUORUM: few"]
    answered = FINISHED | {"event": "question_answered", "purpose": "analytics", "server_round": 2, "sums": 7}
    (line,) = progress.lines(answered)
    assert line == "session 2     keys 10  shares 10  masked 8  unmasked 8  sums 7  up 123 kB  1.2 s"


def test_a_run_around_the_ring() -> None:
    """No thresholds, other counts, the first metric of a task without accuracy, and who is skipped."""
    progress = Progress(20)
    digest = "ab" * 32
    (key,) = progress.lines({"event": "ring_key", "bits": 3072, "digest": digest})
    assert key == f"key of 3072 bits; a node expects it with paillier-key = {digest}"
    started = {
        "event": "run_started",
        "job": "ring",
        "task": "diabetes",
        "strategy": "fedavg",
        "clients": 5,
        "parameters": 11,
    }
    assert progress.lines(started) == ["diabetes, fedavg: 11 parameters, 5 hospitals in a ring"]
    assert not progress.lines({"event": "ring_restarted", "dropped": [7], "left": 4})
    finished = {
        key: value for key, value in FINISHED.items() if key not in ("keys", "shares", "masked", "unmasked")
    }
    ring = finished | {"joined": 4, "revealed": 4, "added": 4, "accuracy": None, "metrics": {"mse": 2773.109}}
    line, trouble = progress.lines(ring)
    assert "joined 4  revealed 4  added 4  model in: mse 2773.1 loss 0.5000" in line
    assert trouble.strip() == "the ring starts again without 7: 4 are left"


def test_the_result_of_a_task_without_accuracy() -> None:
    first, _ = result_lines({"loss": 0.512, "rounds_aggregated": 20, "seconds": 1.0}, 20)
    assert first.startswith("result: loss 0.5120 (")

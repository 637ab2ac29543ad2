"""The server's composition root, over real clients in this process."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from safetensors.numpy import load_file

from app import server_app
from app.client_app import app as client_app
from app.config import RunConfig
from app.run_directory import read_lines
from clients.tasks import load_task
from clients.updates import spec_of
from privacy.terms import PrivacyTerms
from tests.support.local_grid import LocalGrid
from tests.support.private_run import LINEAR, MODES
from tests.support.run import SMALL_RUN
from wire.settings import Assignment, privacy_record


def run(folder: Path, **overrides: Any) -> tuple[LocalGrid, list[dict[str, Any]]]:
    """The ServerApp's whole course; the run's events."""
    config = RunConfig.parse(SMALL_RUN | {"rounds": 2} | overrides).table() | {"run-dir": str(folder)}
    grid = LocalGrid(client_app, int(config["clients"]), config)
    try:
        server_app.main(grid, Context(1, 1, {}, RecordDict(), config))
    finally:
        events = list(read_lines(folder / "events.jsonl"))
    return grid, events


def test_a_run_leaves_its_directory(tmp_path: Path) -> None:
    _, events = run(tmp_path, drop="1@r2:round1")
    names = [event["event"] for event in events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert events[0]["parameters"] == spec_of(load_task(SMALL_RUN["task"]).model(0)).tensor_length
    assert events[0]["threshold"] == 4
    assert events[-1]["rounds_aggregated"] == 2
    finished = [event for event in events if event["event"] == "round_finished"]
    assert [event["purpose"] for event in finished] == ["training", "training", "evaluation"]
    assert events[-1]["accuracy"] == finished[-1]["accuracy"]
    assert list(read_lines(tmp_path / "metrics.jsonl")) == finished
    model = load_file(tmp_path / "model.safetensors")
    assert set(model) == set(load_task(SMALL_RUN["task"]).model(0).state_dict())
    assert len(list((tmp_path / "clients").iterdir())) == 5


@pytest.mark.parametrize("mode", ["none", "local+client"])
def test_what_privacy_will_cost_is_said_before_any_client_trains(mode: str, tmp_path: Path) -> None:
    _, events = run(tmp_path, rounds=1, task=LINEAR, privacy=mode, **{"max-examples": 40}, **MODES[mode])
    names = [event["event"] for event in events]
    said = [event for event in events if event["event"] == "privacy_planned"]
    if mode == "none":
        assert said == []
        return
    assert names.index("privacy_planned") < names.index("protocol_round")
    (event,) = said
    assert event["mode"] == mode
    assert [re.split("[ ,]", sentence)[0] for sentence in event["sentences"]] == [
        "example-level",
        "client-level",
    ]


def test_the_central_test_judges_every_model(tmp_path: Path) -> None:
    _, events = run(tmp_path, task="digits", clients=3, rounds=1, **{"batch-size": 32})
    first, last = [event for event in events if event["event"] == "round_finished"]
    assert 0 <= first["central_accuracy"] <= 0.3
    assert last["central_accuracy"] > 0.15
    assert events[-1]["central_accuracy"] == last["central_accuracy"]


def test_no_central_test_when_it_is_off_or_there_is_none(tmp_path: Path) -> None:
    for number, overrides in enumerate(({}, {"task": "digits", "clients": 3, "central-test": False})):
        folder = tmp_path / str(number)
        folder.mkdir()
        _, events = run(folder, rounds=1, **overrides)
        assert events[-1]["central_accuracy"] is None


def test_a_run_that_fails_raises_one_line_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^QUORUM: none of 1 server rounds") as caught:
        run(tmp_path, rounds=1, drop="5@r0:round1")
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
    events = list(read_lines(tmp_path / "events.jsonl"))
    assert events[-1]["event"] == "run_failed"
    assert events[-1]["code"] == "QUORUM"
    assert not (tmp_path / "model.safetensors").exists()


def test_an_unforeseen_failure_is_raised_and_recorded_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("inner detail")

    monkeypatch.setattr(server_app, "_train", explode)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path)
    (event,) = read_lines(tmp_path / "events.jsonl")
    assert event["reason"].startswith("ZeroDivisionError")
    assert "inner detail" not in json.dumps(event)


def test_a_configuration_that_cannot_work_stops_before_any_client_is_asked(tmp_path: Path) -> None:
    config = RunConfig.parse(SMALL_RUN).table() | {"run-dir": str(tmp_path), "threshold": 9, "clients": 5}
    grid = LocalGrid(client_app, 5, config)
    with pytest.raises(Exception, match="threshold"):
        server_app.main(grid, Context(1, 1, {}, RecordDict(), config))
    assert grid.sent == []


def test_every_setting_of_an_assignment_travels_and_nothing_more() -> None:
    from dataclasses import fields

    sent = set(server_app.training_record(RunConfig()))
    wanted = {field.name.replace("_", "-") for field in fields(Assignment)}
    terms = set(privacy_record(PrivacyTerms()))  # the decoder's, as the clipping norm may adapt
    assert wanted - sent == {"purpose", "encoding-bound", "max-examples", "layout-digest"} | terms
    assert sent <= wanted


def test_settings_carry_every_key_that_concerns_sessions() -> None:
    config = RunConfig.parse(
        {"clients": 7, "threshold": 5, "neighbours": 6, "modulus-bits": 32, "encoding-bound": 2.0,
         "max-examples": 9,
         "min-cohort": 5, "cohort-deadline": 1.0, "training-deadline": 2.0, "round-deadline": 3.0,
         "poll-interval": 0.5}
    )  # fmt: skip
    found = server_app.settings_of(config)
    assert (found.cohort, found.threshold, found.neighbours, found.min_cohort) == (7, 5, 6, 5)
    assert (found.modulus_bits, found.encoding_bound, found.max_examples) == (32, 2.0, 9)
    assert found.cohort_deadline == 1.0
    assert (found.deadlines.training, found.deadlines.protocol_round, found.deadlines.poll_interval) == (
        2,
        3,
        0.5,
    )


def test_two_runs_with_one_seed_start_alike_and_use_other_masks(tmp_path: Path) -> None:
    grids = []
    for name in "ab":
        (tmp_path / name).mkdir()
        grids.append(run(tmp_path / name, rounds=1, seed=5)[0])
    first, second = ([bytes(r.content["chorus"]["message"].data) for r in g.received] for g in grids)  # type: ignore[index,union-attr]
    assert not set(first) & set(second)
    models = [load_file(tmp_path / name / "model.safetensors") for name in "ab"]
    assert all(np.allclose(models[0][key], models[1][key], atol=1e-2) for key in models[0])


def test_models_are_judged_as_often_as_asked_and_the_last_one_always(tmp_path: Path) -> None:
    task = "digits_softmax"  # it has a public test set
    keys: dict[str, Any] = {"evaluate-every": 2, "rounds": 4, "task": task, "clients": 3}
    _, events = run(tmp_path, **keys)
    finished = [event for event in events if event["event"] == "round_finished"]
    assert [event["accuracy"] is not None for event in finished] == [True, False, True, False, True]
    assert [event["central_accuracy"] is not None for event in finished] == [True, False, True, False, True]
    assert events[-1]["central_accuracy"] == finished[-1]["central_accuracy"]


@pytest.mark.parametrize("job", ["train", "gradients"])
def test_a_clients_own_metrics_are_in_its_own_log_and_nowhere_else(job: str, tmp_path: Path) -> None:
    grid, events = run(tmp_path, job=job, task=LINEAR, **{"local-epochs": 2})
    said, told = b"\0".join(grid.wire), json.dumps(events)
    for partition in range(5):
        lines = list(read_lines(tmp_path / "clients" / f"{partition}.jsonl"))
        assert [(line["event"], line["server_round"]) for line in lines] == [
            ("trained", 1), ("trained", 2), ("evaluated", 3),
        ]  # fmt: skip
        assert all(0 <= line["accuracy"] <= 1 for line in lines)
        own = [line["loss"] for line in lines] + [line["train_loss"] for line in lines[:2]]
        assert all(value > 0 for value in own)
        for value in own:
            assert repr(value) not in told
            assert all(np.array(value, dtype=kind).tobytes() not in said for kind in ("<f8", ">f8"))
    validation = [event for event in events if event["event"] == "round_finished"]
    assert all(0 <= event["accuracy"] <= 1 for event in validation)
    own_losses = [
        line["loss"]
        for path in sorted((tmp_path / "clients").iterdir())
        for line in list(read_lines(path))[-1:]
    ]
    assert validation[-1]["loss"] == pytest.approx(sum(own_losses) / 5, abs=1e-6)  # four examples each


def test_without_the_launcher_the_server_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = RunConfig.parse(SMALL_RUN).table()
    grid = LocalGrid(client_app, int(config["clients"]), config)
    server_app.main(grid, Context(1, 1, {}, RecordDict(), config))
    (folder,) = (tmp_path / "runs").iterdir()
    assert "1 of 1 server rounds gave a model" in (folder / "report.html").read_text()
    assert (folder / "MODEL_CARD.md").exists()
    (tmp_path / "launched").mkdir()
    run(tmp_path / "launched", rounds=1)
    assert not (tmp_path / "launched" / "report.html").exists()

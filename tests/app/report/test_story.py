"""What is read back of a run is what its events say, later lines and torn files included."""

from pathlib import Path

import pytest

from app.config import RunConfig
from app.report.story import read_story
from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError
from tests.support.reported import failed_run


def finished(directory: RunDirectory, server_round: int, accuracy: float, purpose: str = "training") -> None:
    directory.emit(
        "round_finished", server_round=server_round, purpose=purpose, accuracy=accuracy, central_accuracy=None,
        masked=5, shares=5, unmasked=5, bytes_up=10, bytes_down=20, seconds=1.5,
    )  # fmt: skip


def test_a_model_is_judged_in_the_round_that_it_comes_into(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig())
    for number, accuracy in ((1, 0.1), (2, 0.5), (3, 0.7)):
        finished(directory, number, accuracy)
    finished(directory, 4, 0.9, "evaluation")
    directory.emit("run_finished", accuracy=0.9, central_accuracy=0.8, rounds_aggregated=3)
    story = read_story(directory)
    assert story.judged("accuracy") == [(0.0, 0.1), (1.0, 0.5), (2.0, 0.7), (3.0, 0.9)]
    assert story.judged("central_accuracy")[-1] == (3.0, 0.8)


def test_of_a_round_that_was_held_twice_the_later_line_counts(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig())
    for number, accuracy in ((1, 0.1), (2, 0.4), (2, 0.5), (3, 0.6)):
        finished(directory, number, accuracy)
    assert [accuracy for _, accuracy in read_story(directory).judged("accuracy")] == [0.1, 0.5, 0.6, None]


def test_protocol_rounds_are_added_up_and_losses_named(tmp_path: Path) -> None:
    story = read_story(failed_run(tmp_path / "run"))
    (trip,) = story.trips.values()
    assert (trip.name, trip.up, trip.down, trip.lost) == ("r2", 1, 2, 2)
    said = "\n".join(line for _, line in story.troubles)
    assert "client 7 did not answer" in said
    assert "8: 3 of 5 clients sent" in said
    assert "no sum, the model is unchanged: QUORUM" in said


def test_a_last_word_is_taken_back_when_the_run_goes_on(tmp_path: Path) -> None:
    directory = failed_run(tmp_path / "run")
    directory.emit("run_resumed", server_round=0)
    story = read_story(directory)
    assert not story.last
    assert any("continued" in line for _, line in story.troubles)


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        read_story(RunDirectory(tmp_path))

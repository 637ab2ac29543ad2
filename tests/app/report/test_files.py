"""What is written beside a run, and that none of it can cost the run."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from app.config import RunConfig
from app.report import files
from app.report.files import at_the_end, write
from app.run_directory import RunDirectory
from arithmetic.errors import SetupError
from tests.support.reported import failed_run, shown_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    directory = shown_run(tmp_path_factory.mktemp("runs") / "run")
    write(directory)
    return directory


def test_a_run_with_a_model_has_a_page_and_a_card(run: RunDirectory) -> None:
    assert (run.path / "report.html").read_text().endswith("</html>\n")
    card = (run.path / "MODEL_CARD.md").read_text()
    for said in ("# tests.support.tiny_task", "No differential privacy", "simulated", "Seed 3"):
        assert said in card


def test_the_card_s_lines_load_the_model(run: RunDirectory) -> None:
    code = (run.path / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, "card", "exec"), names)
    state = names["model"].state_dict()  # type: ignore[attr-defined]
    for name, array in load_file(run.model).items():
        assert state[name].numpy().tobytes() == array.tobytes()
    assert not names["model"].training  # type: ignore[attr-defined]


def test_the_card_says_nothing_of_single_clients(run: RunDirectory) -> None:
    card = (run.path / "MODEL_CARD.md").read_text()
    for path in (run.path / "clients").glob("*.jsonl"):
        assert path.stem not in [word.strip(".,:`") for word in card.split() if len(word) > 6]
    assert "examples there were" in card


def test_a_failed_run_has_a_page_and_no_card(tmp_path: Path) -> None:
    directory = failed_run(tmp_path / "run")
    assert [path.name for path in write(directory)] == ["report.html"]


def test_a_page_that_cannot_be_written_costs_a_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig())
    assert at_the_end(directory).endswith("report.html")

    def broken(_: object) -> str:
        raise ZeroDivisionError("inner")

    monkeypatch.setattr(files, "page", broken)
    assert at_the_end(directory) == "cannot be written (ZeroDivisionError: inner)"


def test_a_folder_that_takes_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be written"):
        files.put(tmp_path / "missing" / "report.html", "text")

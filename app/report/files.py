"""The files that a run leaves for people: written at its end, and again whenever somebody asks.

Decides: their names, that they are whole or not there, and that a page which cannot be written costs a run nothing.
Refuses to know what is in them.
"""

from pathlib import Path
from typing import Final

from app import model_card
from app.durable import write_whole
from app.finding_runs import near
from app.phrases import printable
from app.report import export
from app.report.page import page, state_of
from app.report.spent import spent
from app.report.story import read_story
from app.run_directory import RunDirectory
from arithmetic.errors import SetupError

REPORT: Final = "report.html"


def write(directory: RunDirectory) -> list[Path]:
    """Write report.html, MODEL_CARD.md beside a model, and TensorBoard's events where it is installed.

    Returns:
        The files.

    Raises:
        ConfigError: there is no run, or not one that this version can read.
        SetupError: the folder cannot be written.
    """
    story = read_story(directory)
    texts = {REPORT: page(story)}
    if directory.model.exists() and story.config.job != "analytics":
        texts[model_card.FILE] = model_card.card(story, spent(story), state_of(story).sentence)
    paths = [put(directory.path / name, text) for name, text in texts.items()]
    return [*paths, export.to_tensorboard(story)] if export.has_tensorboard() and story.rounds else paths


def at_the_end(directory: RunDirectory) -> str:
    """The same for a run that ends, whatever happens.

    Returns:
        One line: where the report is, or why there is none.
    """
    try:
        return near(write(directory)[0])
    except Exception as error:  # noqa: BLE001 - a page about a run must not cost the run
        return f"cannot be written ({type(error).__name__}: {printable(error)})"


def put(path: Path, text: str) -> Path:
    """Write one file.

    Raises:
        SetupError: it cannot be written.
    """
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror}); make room there") from None
    return path

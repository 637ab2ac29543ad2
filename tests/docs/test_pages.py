"""The pages hold together: links, snippets, settings of commands that would take long to run, and all that is asked."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.asking import configuration
from app.config import RunConfig
from app.run_directory import RunDirectory
from app.server_app import settings_of

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ASKED = (
    "pick the gpu", "no out-of-memory from too many actors", "per-client settings", "checkpoints and resume",
    "where is the model", "runs that never start", "offline", "early stopping", "tensorboard", "logs and curves",
    "what is running now", "message sizes", "stragglers", "server waiting for ever", "epsilon over rounds",
    "real devices without ray", "node cannot connect, why", "certificates", "reproducible seeds", "local data",
    "choosing nodes", "examples that still run", "did it succeed, and what now", "memory growth over rounds",
)  # fmt: skip


def _blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    ]


def test_every_question_has_its_answer() -> None:
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    answers = dict(re.findall(r"^### (.+)\n\n(.+)$", page, re.M))
    assert set(ASKED) <= {title.lower() for title in answers}


def test_commands_that_are_shown_have_settings_that_a_run_takes() -> None:
    """Each `console` line is read as the command line reads it, and its session's parameters are made."""
    lines = [line for _, block in _blocks("console") for line in block.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "scripts/run", line
        given: dict[str, list[str]] = {"-c": [], "--drop": []}
        for option, value in zip(words[::2], words[1::2], strict=True):
            given[option].append(value)
        config = configuration([v for v in given["-c"] if "examples." not in v], given["--drop"])
        settings = settings_of(config.model_copy(update={"adversary": "curious"}))
        settings.params(settings.group_size, 1000, 8)


def test_what_snippets_import_is_there() -> None:
    for page, block in _blocks("python"):
        for node in ast.walk(ast.parse(block, page)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), (page, node.module)


def _block_of(page: str, word: str) -> str:
    (found,) = (block for name, block in _blocks("python") if name == page and word in block)
    return found


def test_the_snippet_that_uses_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clients.tasks import load_task
    from clients.updates import arrays_of

    path = RunDirectory.create(tmp_path, RunConfig()).save_model(arrays_of(load_task("digits").model(1)))
    exec(compile(_block_of("runs.md", "MODEL"), "runs.md", "exec"), {"MODEL": path})
    assert re.fullmatch(r"tensor\(\d\)\n", capsys.readouterr().out)


def test_the_snippet_of_a_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys are those of a run; the notebook runs the same call."""
    import app.simulate

    def simulate(**keys: Any) -> app.simulate.Run:
        config = RunConfig.parse({key.replace("_", "-"): value for key, value in keys.items()})
        directory = RunDirectory.create(tmp_path, config)
        directory.emit("round_finished", server_round=1, accuracy=0.5, masked=5)
        directory.emit("run_finished", accuracy=0.5)
        directory.save_model({"weight": np.zeros(3)})
        return app.simulate.Run(directory)

    monkeypatch.setattr(app.simulate, "simulate", simulate)
    names: dict[str, Any] = {}
    exec(compile(_block_of("python.md", "simulate"), "python.md", "exec"), names)
    assert set(names["weights"]) == {"weight"}


def test_files_that_readme_links_to_are_there() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip(
        "myst_parser", reason="the site's generator is not installed; scripts/docs installs it"
    )
    pytest.importorskip("furo")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "docs",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    front = (tmp_path / "index.html").read_text(encoding="utf-8")
    for page in ("start", "bring_your_own", "epsilon", "dropouts", "faq", "configuration", "how_it_works"):
        assert f'href="{page}.html"' in front
    assert "session.svg" in (tmp_path / "how_it_works.html").read_text(encoding="utf-8")


def test_no_table_is_cut_by_bars_in_its_code() -> None:
    """A bar within a cell ends it, also between backquotes."""
    for page in [*PAGES, ROOT / "README.md"]:
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
        assert [row for row in rows if re.search(r"(?<!\\)\|\|", row)] == [], page


def _spoken() -> list[tuple[str, list[str]]]:
    """Every command of ours in code of a page, in words; a page's own placeholders stay in it."""
    found = []
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"`([^`\n]+)`", text) + [
            line.strip() for line in text.splitlines() if line[:4] == "    "
        ]
        code += [
            line
            for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
            for line in block.splitlines()
        ]
        for line in code:
            where = re.search(
                r"(?:^|: |\s)((?:scripts/|\.venv/bin/python -m app |python -m app )[\w-].*)", line
            )
            if where and "..." not in line:
                command = re.split(r",\s", where[1].split("#")[0])[0]  # a sentence goes on behind it
                found.append((page.name, command.replace(".venv/bin/", "").split()))
    return found


def test_every_command_that_is_named_is_there_with_its_options() -> None:
    import typer.main

    from app.cli import app

    commands: Any = typer.main.get_command(app)
    fronts = {
        "run": "run",
        "superlink": "server",
        "supernode": "node",
        "provision": "provision",
        "doctor": "doctor",
    }
    spoken = _spoken()
    assert len(spoken) > 50
    for page, words in spoken:
        script = words[0].removeprefix("scripts/").rstrip(".,;)")
        if words[0] != "python":
            assert (ROOT / "scripts" / script).exists(), (page, words)
        rest = words[3:] if words[0] == "python" else words[1:]
        if script in ("test", "docs", "setup.sh", "audit", "coverage"):
            continue
        if script == "provision" and rest[:1] == ["request"]:
            script, rest = "chorus", ["provision-request", *rest[1:]]
        names = [] if script in ("chorus", "python") else [fronts[script]]
        names += [
            word.strip(".,;()")
            for word in rest[: 2 - len(names)]
            if re.fullmatch(r"[a-z][a-z-]*[.,;)]*", word)
        ]
        command = commands
        for name in names:
            if name in getattr(command, "commands", {}):
                command = command.commands[name]
        assert command is not commands or not names, (page, words)
        options = {option for each in command.params for option in each.opts} | {"--help", "--debug"}
        given = {word.split("=")[0].strip(".,;()") for word in rest if word.startswith("--")}
        assert given <= options, (page, words, given - options)

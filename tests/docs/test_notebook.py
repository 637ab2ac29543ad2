"""The cells of docs/notebook.ipynb, run in order as they stand."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.simulation
def test_the_notebook_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((repository / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "keep outputs out of the file"
    monkeypatch.chdir(repository / "docs")
    monkeypatch.syspath_prepend("..")
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile(cell.replace('"../runs"', repr(str(tmp_path))), f"cell {number}", "exec"), names)
    rounds = names["run"].rounds
    assert [line["masked"] for line in rounds] == [5, 4, 5, 5]
    assert names["run"].result["accuracy"] > 0.8
    assert names["run"].path.parent == tmp_path

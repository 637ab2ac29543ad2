"""Every command and snippet of README, CONTRIBUTING and docs/ is run."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.run_directory import read_lines
from tests.support import (
    commands_page,  # run by tests/docs/test_commands_page.py
    deployment_page,  # run by tests/deployment/test_provisioned.py
)
from tests.support.analytics import stations
from tests.support.reported import failed_run

ROOT = Path(__file__).resolve().parent.parent.parent
MNIST = ROOT.parent / "shared" / "data" / "mnist"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(language: str, pages: list[Path] = PAGES) -> list[str]:
    found = []
    for page in pages:
        found += re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return found


def _commands() -> set[str]:
    return {line.strip() for block in _blocks("sh") for line in block.splitlines() if line.strip()}


RUN = "scripts/run"
DROP = "scripts/run --drop 3@r2:round3 -c rounds=5"
ON_MNIST = "scripts/run -c task=mnist -c data-path=/path/to/mnist -c rounds=5 -c local-epochs=1"
TEST = "scripts/test"
PLAIN = (
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1 .venv/bin/flwr run . --stream "
    '--federation-config "num-supernodes=10 client-resources-num-cpus=1"'
)
SCALE = ".venv/bin/python -m bench.scale --quick"
PRIVATE = (
    "scripts/run -c task=digits_hog -c privacy=distributed -c epsilon=1 -c delta=1e-4 -c rounds=62 "
    "-c clipping-norm=2.83 -c sampling-probability=1 -c expected-batch=1438 -c learning-rate=0.516 "
    "-c min-cohort=10 -c validation-fraction=0.01"
)
RING = "scripts/run -c job=ring"
RING_DROP = "scripts/run -c job=ring --drop 1@hop:round3 -c rounds=5"
REPORT = "scripts/chorus report"
COMPARE = "scripts/chorus report --compare runs/ONE runs/OTHER"
LEDGER = ".venv/bin/python -m app ledger /path/to/ledger.jsonl --delta 1e-4"
ASKED = "scripts/run -c job=analytics -c query=examples/diabetes.toml"
ASKED_NOISILY = f"{ASKED} -c privacy=distributed -c epsilon=1"
STATIONS = "scripts/run -c job=analytics -c query=examples/weather/query.toml -c data-path=/path/to/stations"
ANALYTICS = {ASKED, ASKED_NOISILY, STATIONS}

GRADIENTS = "scripts/run -c docs/gradients.toml"
GRADIENTS_BENCH = ".venv/bin/python -m bench.gradients --quick"
LOCAL = "scripts/run -c partition=dirichlet -c dirichlet-alpha=0.3 -c learning-rate=0.05 -c validation-fraction=0.3"
OWN_TASK = (
    "scripts/run -c task=examples.my_task -c data-path=examples/patients.csv -c clients=4 -c batch-size=16"
)
LOCAL_BENCH = ".venv/bin/python -m bench.local_and_global --quick"

SERVED = "scripts/run -c task=digits_softmax -c rounds=3"
PREDICT = ".venv/bin/python -m app predict"
SHARE, DEMO = f"{PREDICT} share /path/to/run", f"{PREDICT} demo /path/to/run"
SERVE, QUERY = f"{PREDICT} serve", f"{PREDICT} query --index 7 --answer top"
COUNT, END = f"{PREDICT} evaluate", f"{PREDICT} shutdown"
COUNT_MNIST = f"{PREDICT} evaluate --data-path /path/to/mnist"
MNIST_BENCH = ".venv/bin/python -m bench.predictions_mnist --data-path /path/to/mnist"
PREDICTIONS = {SERVED, SHARE, DEMO, SERVE, QUERY, COUNT, END, COUNT_MNIST, MNIST_BENCH}


def test_every_command_has_a_test_here() -> None:
    sums = {GRADIENTS, GRADIENTS_BENCH, LOCAL, LOCAL_BENCH, RING, RING_DROP}
    mine = {RUN, DROP, ON_MNIST, TEST, PLAIN, SCALE, PRIVATE, LEDGER, REPORT, COMPARE, OWN_TASK}
    assert _commands() == mine | sums | ANALYTICS | PREDICTIONS | deployment_page.ALL | set(commands_page.ALL)


def _figures(command: str) -> str:
    """What a command of bench/ prints."""
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_gradients_bench_command() -> None:
    assert "process: largest difference of losses" in _figures(GRADIENTS_BENCH)


@pytest.mark.simulation
def test_the_local_and_global_command() -> None:
    assert "lowest of the clients' own accuracies" in _figures(LOCAL_BENCH)


@pytest.mark.simulation
@pytest.mark.slow
def test_the_gradients_command(tmp_path: Path) -> None:
    """Its losses are central SGD's, iteration by iteration, and the page shows the file that it reads."""
    from app.config import RunConfig, parse_overrides
    from bench.gradients import central

    output = _run(GRADIENTS, tmp_path)
    assert re.search(
        r"^100 of 100 rounds aggregated in \d+\.\d s, \d+\.\d\d s an iteration \(median\)$", output, re.M
    )
    assert _accuracy(output) >= 0.9
    (metrics,) = tmp_path.glob("*/metrics.jsonl")
    lines = [line for line in read_lines(metrics) if line["purpose"] == "training"]
    wanted = central(RunConfig.parse(parse_overrides([str(ROOT / "docs" / "gradients.toml")])))
    assert [line["train_loss"] for line in lines] == pytest.approx(wanted.losses, abs=1e-3)
    assert [line["server_round"] for line in lines if line["accuracy"] is not None] == list(range(1, 101, 10))
    shown = (ROOT / "docs" / "gradients.md").read_text()
    keys = (ROOT / "docs" / "gradients.toml").read_text().splitlines()[1:]
    assert "\n".join(f"    {line}" for line in keys) in shown


@pytest.mark.simulation
def test_the_local_metrics_command(tmp_path: Path) -> None:
    """Each client's own log ends with the final model's metrics, whose weighted mean is the global one."""
    from bench.local_and_global import curves_of

    output = _run(LOCAL, tmp_path)
    (run,) = tmp_path.iterdir()
    curves = curves_of(run)
    assert len(curves.final) == 10
    examples = sum(count for _, count in curves.final.values())
    right = sum(accuracy * count for accuracy, count in curves.final.values())
    assert f"result: accuracy {right / examples:.4f}, " in output
    assert max(curves.final.values())[0] - min(curves.final.values())[0] > 0.01


def test_the_scale_command() -> None:
    done = subprocess.run(
        shlex.split(SCALE), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exponent of server in n" in done.stdout
    assert "the exact sum of" in done.stdout


def _run(command: str, runs: Path) -> str:
    arguments = [*shlex.split(command), "--runs-dir", str(runs)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _ledger(*paths: str) -> str:
    """What the ledger command prints of ledgers."""
    before, after = LEDGER.split(" /path/to/ledger.jsonl ")
    command = [*shlex.split(before), *paths, *shlex.split(after)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_report_commands(tmp_path: Path) -> None:
    for name in ("ONE", "OTHER"):
        failed_run(tmp_path / "runs" / name)
    for command, page in ((REPORT, "runs/OTHER/report.html"), (COMPARE, "runs/compare-ONE-OTHER.html")):
        words = [str(ROOT / "scripts/chorus"), *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"written: {page}\n")
        assert (tmp_path / page).exists()


def test_the_ledger_command(tmp_path: Path) -> None:
    """A ledger of mode client is two sentences, the example's with half the noise and so the larger epsilon."""
    from privacy.ledger import Ledger
    from privacy.mechanisms import Budget, GaussianRelease

    path = tmp_path / "ledger.jsonl"
    Ledger.create(path, "data")
    with Ledger.open(path, "data") as ledger:
        for release in (GaussianRelease(5.0, 1, "client", 1e-20), GaussianRelease(2.5, 1, "example", 1e-20)):
            ledger.charge(release, "run", 1, Budget(1e6, 1e-5))
    lines = _ledger(str(path)).splitlines()
    spent = [
        re.match(r"(\w+)-level differential privacy with epsilon (\d\.\d+) by PLD", line) for line in lines
    ]
    assert [found and found[1] for found in spent] == ["example", "client"]
    example, client = (float(found[2]) for found in spent if found)
    assert example > 1.9 * client > 0


def _accuracy(output: str) -> float:
    """On the public test set, as printed."""
    found = re.search(r"on the public test set (\d\.\d+)", output)
    assert found is not None, output
    return float(found[1])


@pytest.mark.simulation
def test_the_first_command(tmp_path: Path) -> None:
    output = _run(RUN, tmp_path)
    assert _accuracy(output) >= 0.95
    assert "10 of 10 rounds aggregated" in output


@pytest.mark.simulation
def test_the_drop_command(tmp_path: Path) -> None:
    output = _run(DROP, tmp_path)
    (third,) = (line for line in output.splitlines() if line.startswith("round 3/5"))
    assert "shares 10  masked 7  unmasked 7" in third
    assert "5 of 5 rounds aggregated" in output


@pytest.mark.simulation
def test_the_command_of_a_task_of_ones_own(tmp_path: Path) -> None:
    output = _run(OWN_TASK, tmp_path)
    assert "10 of 10 rounds aggregated" in output
    (metrics,) = tmp_path.glob("*/metrics.jsonl")
    assert [*read_lines(metrics)][-1]["accuracy"] > 0.7
    template = (ROOT / "examples" / "my_task.py").read_text()
    assert OWN_TASK in template


@pytest.mark.simulation
def test_the_ring_command(tmp_path: Path) -> None:
    """The page's table is what the command prints: training rounds to nearest, so no run differs."""
    output = _run(RING, tmp_path)
    assert "20 of 20 rounds aggregated" in output
    lines = output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("hospital  examples"))
    page = (ROOT / "docs" / "paillier.md").read_text(encoding="utf-8")
    assert "\n".join(lines[at : at + 6]) in page


@pytest.mark.simulation
def test_the_ring_command_with_a_drop(tmp_path: Path) -> None:
    output = _run(RING_DROP, tmp_path)
    (third,) = (line for line in output.splitlines() if line.startswith("round 3/5"))
    assert "joined 4  revealed 4  added 4" in third
    assert "5 of 5 rounds aggregated" in output


@pytest.mark.simulation
def test_the_private_command(tmp_path: Path) -> None:
    """It learns and says its guarantee: at the start, at the end, from its ledgers, and on the pages for users."""
    output = _run(PRIVATE, tmp_path)
    assert _accuracy(output) >= 0.90
    assert "62 of 62 rounds aggregated" in output
    (sentence,) = (line for line in output.splitlines() if line.startswith("privacy: "))
    assert sentence.startswith("privacy: example-level differential privacy with epsilon 0.8")
    spent = re.search(r"epsilon (\d\.\d+) by PLD \((\d\.\d+) by RDP\) at delta 0.0001 ", sentence)
    assert spent is not None, sentence
    assert 0.8 < float(spent[1]) < float(spent[2]) <= 1.0
    for page in (ROOT / "docs" / "privacy.md", ROOT / "README.md"):
        blocks = re.findall(r"^privacy: .*(?:\n .*)*", page.read_text(encoding="utf-8"), re.M)
        assert sentence in [" ".join(block.split()) for block in blocks], page
    said = sentence.removeprefix("privacy: ").removesuffix("; the most that any of 10 clients spent")
    (plan,) = (line for line in output.splitlines() if line.startswith("privacy, planned: "))
    assert plan == f"privacy, planned: {said}"
    ledgers = sorted(map(str, tmp_path.glob("*/ledgers/*.jsonl")))
    assert len(ledgers) == 10
    assert _ledger(*ledgers) == f"{said}\n"


@pytest.mark.simulation
@pytest.mark.slow
def test_the_mnist_command(tmp_path: Path) -> None:
    if not MNIST.is_dir():
        pytest.skip("no MNIST files beside the repository")
    output = _run(ON_MNIST.replace("/path/to/mnist", str(MNIST)), tmp_path)
    assert _accuracy(output) >= 0.98


@contextmanager
def _serving(run: Path, kits: Path) -> Iterator[subprocess.Popen[str]]:
    """The three servers with the model of a run, as the pages start them."""
    _figures(f"{SHARE.replace('/path/to/run', str(run))} --kits {kits}")
    with subprocess.Popen(
        [*shlex.split(SERVE), str(kits)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as servers:
        try:
            for _ in range(6):
                assert servers.stdout is not None
                assert servers.stdout.readline()
            yield servers
        finally:
            servers.terminate()


@pytest.mark.simulation
@pytest.mark.slow
def test_share_serve_query_evaluate_and_shut_down(tmp_path: Path) -> None:
    """As the page has it, with a folder of the test's own for kits; and its lines of Python."""
    _run(SERVED, tmp_path / "runs")
    (run,), kits = (tmp_path / "runs").iterdir(), tmp_path / "kits"
    with _serving(run, kits) as servers:
        alice = kits / "clients" / "alice"
        asked = _figures(f"{QUERY} {alice}")
        assert re.match(r"digits_softmax 7: (\d 0\.\d{4}(, |\n)){3}", asked), asked
        counted = _figures(f"{COUNT} {alice}")
        assert re.match(r"3\d\d of 359 right: accuracy 0\.[89]\d+\n", counted), counted
        page = (ROOT / "docs" / "share_serve_query.md").read_text(encoding="utf-8")
        snippet = page[page.index("    from pathlib") : page.index("## In the browser")]
        names = {"inputs": np.zeros((2, 1, 8, 8))}
        exec(textwrap.dedent(snippet).replace("predictions-kits", str(kits)), names)
        assert len(names["reply"].answers) == 2  # type: ignore[attr-defined]
        assert _figures(f"{END} {kits / 'owner'}") == "online-2 ends\nonline-1 ends\nhelper ends\n"
        assert servers.wait(30) == 0


@pytest.mark.simulation
@pytest.mark.nightly
def test_the_demonstration_and_the_encrypted_evaluation_of_mnist(tmp_path: Path) -> None:
    if not MNIST.is_dir():
        pytest.skip("no MNIST files beside the repository")
    _run(ON_MNIST.replace("/path/to/mnist", str(MNIST)), tmp_path / "runs")
    (run,), kits = (tmp_path / "runs").iterdir(), tmp_path / "kits"
    assert "together any two of the servers" in _figures(DEMO.replace("/path/to/run", str(run)))
    with _serving(run, kits):
        counted = _figures(
            f"{COUNT_MNIST.replace('/path/to/mnist', str(MNIST))} {kits / 'clients' / 'alice'}"
        )
    found = re.match(r"(\d+) of 10000 right: accuracy 0\.98\d\d\n", counted)
    assert found is not None, counted
    output = _figures(f"{MNIST_BENCH.replace('/path/to/mnist', str(MNIST))} --run {run} --json")
    rows = {row["case"]: row for row in map(json.loads, output.splitlines()[6:])}
    assert rows["labels that differ from plain fixed point"]["ours"] == 0
    accuracy = rows["accuracy of private labels"]
    assert abs(accuracy["ours"] - accuracy["peer"]) <= 0.1
    assert rows["accuracy of that count"]["ours"] == accuracy["ours"] == int(found[1]) / 100


def test_the_table_of_layers_is_the_conversions() -> None:
    from predictions.conversion import SUPPORTED

    page = (ROOT / "docs" / "private_predictions.md").read_text(encoding="utf-8")
    lines = "\n".join(f"| {one.layers} | {one.limits} | {one.cost} |" for one in SUPPORTED)
    assert f"|---|---|---|\n{lines}\n\n" in page


def _answers(output: str) -> dict[str, str]:
    """First and last column of the lines of a table of answers."""
    cells = [re.split(r"\s{2,}", line) for line in output.splitlines()]
    return {row[0]: row[-1] for row in cells if len(row) > 1}


@pytest.mark.simulation
def test_the_query_of_an_embedded_table(tmp_path: Path) -> None:
    output = _run(ASKED, tmp_path)
    assert _answers(output)["patients"] == "442"
    page = (ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")
    table = output[output.index("statistic  ") : output.index("privacy: ")]
    assert table.count("\n") == 15
    assert table in page
    (folder,) = tmp_path.iterdir()
    assert {"answers.json", "config.toml", "events.jsonl"} <= {path.name for path in folder.iterdir()}


@pytest.mark.simulation
def test_the_query_with_noise(tmp_path: Path) -> None:
    output = _run(ASKED_NOISILY, tmp_path)
    said = "privacy: example-level differential privacy with epsilon 0.9150 by PLD (1.0000 by RDP) at delta 1e-05"
    assert said in output
    assert said in (ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")
    assert abs(float(_answers(output)["patients"]) - 442) < 150
    ledgers = sorted(map(str, tmp_path.glob("*/ledgers/*.jsonl")))
    assert len(ledgers) == 10
    assert _ledger(*ledgers).startswith("example-level differential privacy with epsilon 0.")


@pytest.mark.simulation
def test_the_query_of_many_stations(tmp_path: Path) -> None:
    made = stations(tmp_path / "stations", 10)
    output = _run(STATIONS.replace("/path/to/stations", str(tmp_path / "stations")), tmp_path / "runs")
    x = np.concatenate([each["temperature"] for each in made])
    found = _answers(output)
    assert found["count"] == str(len(x))
    assert float(found["mean temperature"]) == pytest.approx(float(x.mean()), rel=1e-8)
    assert float(found["above 70 degrees"]) == pytest.approx(float((x > 70).mean()), rel=1e-8)


def test_ci_runs_the_test_command() -> None:
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / TEST, os.X_OK)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.simulation
def test_plain_flwr_run(tmp_path: Path) -> None:
    """Flower's own command, with a home and ports of its own: no SuperLink of the user's is touched."""
    assignment, *words = shlex.split(PLAIN)
    name, value = assignment.split("=")
    environment = os.environ | {
        name: value,
        "FLWR_HOME": str(tmp_path / "home"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(_free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(_free_port()),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    # The SuperLink that Flower starts takes over this working directory; an empty one keeps other trees out.
    command = [str(ROOT / words[0]), words[1], str(ROOT), *words[3:], "-c", "rounds=1"]
    try:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (events,) = tmp_path.glob("runs/*/events.jsonl")
        assert '"run_finished"' in events.read_text(), done.stdout
    finally:
        _stop(str(tmp_path / "home"))


def _stop(home: str) -> None:
    """End the detached SuperLink whose files lie in `home`, by its id."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "flower-superlink" in command and home in command:
            os.kill(int(folder.name), signal.SIGTERM)
            for _ in range(50):
                if not folder.exists():
                    break
                time.sleep(0.1)


def test_the_python_snippet_of_readme() -> None:
    """README's wrapping of a strategy, as it stands, over the in-process grid."""
    from flwr.app import Array, ArrayRecord

    from app.client_app import app
    from app.config import RunConfig
    from app.server_app import training_record
    from clients.tasks import load_task
    from clients.updates import arrays_of
    from tests.support.local_grid import LocalGrid

    (snippet,) = _blocks("python", [ROOT / "README.md"])
    config = RunConfig.parse({"rounds": 1})
    model = load_task("digits").model(0)
    names = {
        "grid": LocalGrid(app, 10, dict(config.table())),
        "model": model,
        "initial_arrays": ArrayRecord({name: Array(array) for name, array in arrays_of(model).items()}),
        "train_config": training_record(config),
    }
    exec(compile(snippet.replace("num_rounds=10", "num_rounds=1"), "README.md", "exec"), names)
    assert names["strategy"].aggregated == [1]
    assert set(names["result"].evaluate_metrics_clientapp) == {0, 1}

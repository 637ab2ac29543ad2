"""Questions through real sessions over an in-process grid: exact, noisy, refused, and nothing in the clear."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from app import analytics_job, answers, server_app
from app.client_app import app as client_app
from app.config import RunConfig
from app.findings import Verdict
from app.run_directory import RunDirectory
from app.verify import verify
from app.verify_terms import Demands
from arithmetic.errors import ChorusError
from privacy.ledger import charges_of
from secagg.errors import CohortTooSmall
from strategies.chronicle import Chronicle
from tests.support.analytics import stations, write_csv
from tests.support.local_grid import LocalGrid, content_size
from tests.support.run import at, swallow
from wire.rounds import ProtocolRound
from wire.transcript import Transcript

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "weather" / "query.toml"
R1, R2 = ProtocolRound.SHARE_KEYS, ProtocolRound.MASKED_INPUT
FAST: dict[str, Any] = {
    "job": "analytics", "poll-interval": 0.01, "round-deadline": 0.2, "training-deadline": 30.0, "cohort-deadline": 0.2,
}  # fmt: skip


class Asked:
    """A query over `clients` in one process, in a run directory of its own."""

    def __init__(self, folder: Path, query: str, clients: int = 5, **keys: Any) -> None:
        path = folder / "asked.toml"
        path.write_text(query)
        run_dir = folder / "run"
        run_dir.mkdir()
        table = FAST | {"query": str(path), "clients": clients, "run-dir": str(run_dir)}
        table |= {key.replace("_", "-"): value for key, value in keys.items()}
        self.config = RunConfig.parse(table)
        self.directory = RunDirectory.open(run_dir)
        self.grid = LocalGrid(client_app, clients, self.config.table())

    def run(self) -> dict[str, Any]:
        """Ask; what answers.json says."""
        settings = server_app.settings_of(self.config)
        analytics_job.run(self.grid, self.config, settings, self.directory, Chronicle())
        told: dict[str, Any] = json.loads((self.directory.path / answers.FILE).read_bytes())
        return told

    def values(self) -> dict[str, Any]:
        return {
            f"{each['name']} {each.get('part', '')}".strip(): each["value"] for each in self.run()["answers"]
        }

    def refusals(self) -> set[str]:
        """What the server was told by those that left."""
        lines = map(json.loads, self.directory.events.read_text().splitlines())
        return {reason for line in lines for reason in line.get("refused", {}).values()}


def test_the_example_is_answered_exactly(tmp_path: Path) -> None:
    made = stations(tmp_path / "data", 5)
    asked = Asked(tmp_path, EXAMPLE.read_text(), data_path=str(tmp_path / "data"))
    told = asked.run()
    x = np.concatenate([each["temperature"] for each in made])
    found = {each["name"]: each for each in told["answers"]}
    assert found["count"]["value"] == len(x)
    assert found["mean temperature"]["value"] == pytest.approx(float(x.mean()), rel=1e-9)
    assert found["above 70 degrees"]["value"] == pytest.approx(float((x > 70).mean()), rel=1e-12)
    assert (told["clients"], told["table"], told["min_count"]) == ([5, 5], "weather.csv", 10)
    assert told["sessions"] > 1
    lines = answers.lines(asked.directory.path / answers.FILE)
    assert any("suppressed: of fewer than 10 rows" in line and "snow" in line for line in lines)


def test_an_embedded_table_is_dealt_out_whole(tmp_path: Path) -> None:
    query = """
table = "diabetes"
columns = { bmi = { low = 10, high = 60 } }
statistics = [{ kind = "count" }, { kind = "mean", column = "bmi" }]
"""
    from sklearn.datasets import load_diabetes

    bmi = load_diabetes(scaled=False).data[:, 2]
    found = Asked(tmp_path, query, clients=4).values()
    assert found["count"] == len(bmi)
    assert found["mean bmi"] == pytest.approx(float(bmi.mean()), rel=1e-9)


def test_groups_of_clients_give_the_same_answers(tmp_path: Path) -> None:
    query = 'table = "iris"\nstatistics = [{ kind = "count", group-by = { column = "target", values = [0, 1, 2] } }]'
    told = Asked(tmp_path, query, clients=7, groups=2).run()
    assert [each["value"] for each in told["answers"]] == [50, 50, 50]


def test_a_client_that_vanishes_is_in_no_sum(tmp_path: Path) -> None:
    made = stations(tmp_path / "data", 5)
    asked = Asked(
        tmp_path, 'table = "weather.csv"\nstatistics = [{ kind = "count" }]', data_path=str(tmp_path / "data")
    )
    asked.grid.before = at(R2, swallow, asked.grid.ids[4])
    told = asked.run()
    assert told["clients"] == [4, 4]
    assert told["answers"][0]["value"] == sum(len(each["month"]) for each in made[:4])


def test_a_session_that_gave_no_sum_is_held_again(tmp_path: Path) -> None:
    asked = Asked(tmp_path, 'table = "wine"\nstatistics = [{ kind = "count" }]')
    asked.grid.before = at(R2, swallow, group="1")
    assert asked.run()["answers"][0]["value"] == 178
    events = [json.loads(line) for line in asked.directory.events.read_text().splitlines()]
    assert [e["server_round"] for e in events if e["event"] == "round_failed"] == [1]


def test_too_few_clients_is_a_typed_end(tmp_path: Path) -> None:
    asked = Asked(tmp_path, 'table = "wine"\nstatistics = [{ kind = "count" }]')
    asked.grid.before = at(R2, swallow, *asked.grid.ids[:3], group="1")
    asked.grid.after = lambda message: None if message.metadata.group_id != "1" else message
    with pytest.raises(CohortTooSmall):
        asked.run()


# --- noise ------------------------------------------------------------------------------------------------------

NOISY = """
table = "t.csv"
columns = { x = { low = 0, high = 10 } }
statistics = [
    { kind = "count" }, { kind = "mean", column = "x" }, { kind = "histogram", column = "x", edges = [0, 5, 10] },
]
"""


def _many(folder: Path, clients: int = 4, rows: int = 500) -> None:
    for at_ in range(clients):
        write_csv(
            folder / str(at_) / "t.csv", {"x": [at for at in (2.0, 8.0, 8.0, 8.0) for _ in range(rows // 4)]}
        )


def test_noise_covers_every_sum_and_is_charged_first(tmp_path: Path) -> None:
    _many(tmp_path / "data")
    asked = Asked(
        tmp_path, NOISY, 4, data_path=str(tmp_path / "data"), privacy="distributed", epsilon=1.0, delta=1e-5,
        colluders=1,
    )  # fmt: skip
    told = asked.run()
    value = {f"{each['name']}{each.get('part', '')}": each["value"] for each in told["answers"]}
    # Norm sqrt(3), noise multiplier about 4: a standard deviation of about 7 a count.
    assert value["count"] != 2000
    assert value["count"] == pytest.approx(2000, abs=100)
    assert value["mean x"] == pytest.approx(6.5, abs=1.0)
    assert value["histogram x5 to 10"] == pytest.approx(1500, abs=100)
    ledgers = sorted((asked.directory.path / "ledgers").glob("*.jsonl"))
    assert len(ledgers) == 4
    for path in ledgers:
        (charge,) = charges_of(path)
        assert (charge.unit, charge.releases, charge.colluders) == ("example", 1, 1)
        assert charge.event.sampling_probability == 1.0
    events = [json.loads(line) for line in asked.directory.events.read_text().splitlines()]
    (sentence,) = next(e["sentences"] for e in events if e["event"] == "privacy_planned")
    epsilon = re.search(r"epsilon (\d\.\d+) by PLD \((\d\.\d+) by RDP\)", sentence)
    assert epsilon is not None
    assert 0.5 < float(epsilon[1]) <= float(epsilon[2]) <= 1.0
    assert "example-level" in sentence
    assert "for 1 sum of clipped rows with integer noise" in sentence


def test_a_private_session_is_not_held_again(tmp_path: Path) -> None:
    """A second session would be charged a second time."""
    _many(tmp_path / "data")
    keys = {"privacy": "distributed", "epsilon": 1.0, "data_path": str(tmp_path / "data")}
    asked = Asked(tmp_path, NOISY, 4, **keys)
    asked.grid.before = at(R2, swallow, group="1")
    with pytest.raises(CohortTooSmall):
        asked.run()
    (path, *_) = sorted((asked.directory.path / "ledgers").glob("*.jsonl"))
    assert len(charges_of(path)) == 1


# --- what cannot be answered ------------------------------------------------------------------------------------

SECRET = "48151623"
BAD: dict[str, tuple[str, str]] = {
    "no such column": ("y\n1\n", "CONFIG: a column of the query is not in the table"),
    "not a number": (f"x\n1\nabc{SECRET}\n", "RANGE: a cell that the query needs is no finite number"),
    "empty": ("x,y\n1,2\n,3\n", "RANGE: a cell that the query needs is no finite number"),
    "nan": ("x\nnan\n", "RANGE: a cell that the query needs is no finite number"),
    "infinite": ("x\n1e999\n", "RANGE: a cell that the query needs is no finite number"),
    "underscores": (
        f"x\n{SECRET[:3]}_{SECRET[3:]}\n",
        "RANGE: a cell that the query needs is no finite number",
    ),
    "torn row": (f"x,y\n1,2\n{SECRET}\n", "ENV: the table cannot be read on this node"),
    "twice": ("x,x\n1,2\n", "ENV: the table cannot be read on this node"),
    "quotes": (f'x\n"{SECRET}', "ENV: the table cannot be read on this node"),
    "a zero byte": ("x\n\x00\n", "RANGE: a cell that the query needs is no finite number"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_a_typed_answer_that_says_nothing_of_the_data(tmp_path: Path, name: str) -> None:
    text, sentence = BAD[name]
    _many(tmp_path / "data", clients=5, rows=8)
    (tmp_path / "data" / "2" / "t.csv").write_text(text)
    query = 'table = "t.csv"\ncolumns = { x = { low = 0, high = 10 } }\nstatistics = [{ kind = "mean", column = "x" }]'
    asked = Asked(tmp_path, query, data_path=str(tmp_path / "data"))
    told = asked.run()
    assert told["clients"] == [4, 4]
    (refusal,) = asked.refusals()
    assert refusal.startswith(sentence)
    assert not any(SECRET.encode() in block for block in asked.grid.wire)


@pytest.mark.parametrize("text", ["x,y\n", "", "x\n\n\n"])
def test_an_empty_node_adds_zeros_and_is_like_the_others(tmp_path: Path, text: str) -> None:
    _many(tmp_path / "data", clients=5, rows=8)
    (tmp_path / "data" / "2" / "t.csv").write_text(text)
    query = 'table = "t.csv"\ncolumns = { x = { low = 0, high = 10 } }\nstatistics = [{ kind = "mean", column = "x" }]'
    asked = Asked(tmp_path, query, data_path=str(tmp_path / "data"))
    told = asked.run()
    assert told["clients"] == [5, 5]
    assert told["answers"][0]["value"] == pytest.approx(6.5)
    sizes: dict[str, set[int]] = {}
    for message in asked.grid.received:
        sizes.setdefault(message.metadata.message_type, set()).add(content_size(message))
    assert len(sizes) == 4
    assert all(len(found) == 1 for found in sizes.values())


def test_a_missing_table_is_said(tmp_path: Path) -> None:
    asked = Asked(
        tmp_path, 'table = "t.csv"\nstatistics = [{ kind = "count" }]', data_path=str(tmp_path / "no")
    )
    with pytest.raises(ChorusError, match="Most others said ENV: the table cannot be read on this node"):
        asked.run()


# --- the wire ---------------------------------------------------------------------------------------------------


def test_no_cell_and_no_count_of_a_client_leaves_in_the_clear(tmp_path: Path) -> None:
    """Every cell as text and as a float, and every sum of one client, searched in all that reached the server."""
    rng = np.random.default_rng(7)
    needles: list[bytes] = []
    for client in range(4):
        x = rng.uniform(100, 999, 50).round(9)
        write_csv(
            tmp_path / "data" / str(client) / "t.csv",
            {"x": x.tolist(), "g": [f"ward-{client}-{at}" for at in range(50)]},
        )
        needles += [repr(float(value)).encode() for value in [*x, x.sum()]]
        needles += [value.tobytes() for value in [*x, x.sum(), x.mean()]]
        needles += [f"ward-{client}".encode()]
    query = """
table = "t.csv"
columns = { x = { low = 0, high = 1000 } }
statistics = [{ kind = "mean", column = "x" }, { kind = "variance", column = "x", where = ['g != "ward"'] }]
"""
    asked = Asked(tmp_path, query, 4, data_path=str(tmp_path / "data"))
    asked.run()
    files = [
        path.read_bytes()
        for path in asked.directory.path.rglob("*")
        if path.is_file() and "clients" not in path.parts
    ]
    haystack = [*asked.grid.wire, *files]
    assert sum(map(len, haystack)) > 10_000
    for needle in needles:
        assert not any(needle in block for block in haystack), needle


def test_clients_that_are_asked_different_questions_give_no_sum(tmp_path: Path) -> None:
    """Adversary: a server that asks one client a narrower question; the masks do not cancel, and no sum comes of it."""
    asked = Asked(tmp_path, 'table = "wine"\nstatistics = [{ kind = "count", where = ["target == 0"] }]')

    def other(message: Message) -> Message:
        record = message.content.config_records["config"]
        record["question"] = str(record["question"]).replace("0.0", "1.0")
        return message

    asked.grid.before = _everywhere(R1, other, asked.grid.ids[0])
    with pytest.raises(ChorusError):
        asked.run()
    assert not (asked.directory.path / answers.FILE).exists()


def _everywhere(protocol_round: ProtocolRound, change: Callable[[Message], Message], node: int) -> Any:
    """As `at`, in every server round."""

    def tamper(message: Message) -> Message:
        meant = (
            message.metadata.message_type == protocol_round.message_type
            and message.metadata.dst_node_id == node
        )
        return change(message) if meant else message

    return tamper


def test_the_transcripts_of_a_query_are_verified(tmp_path: Path) -> None:
    """Sessions that failed and were held again among them."""
    asked = Asked(tmp_path, 'table = "wine"\nstatistics = [{ kind = "count" }]')
    for number, context in enumerate(asked.grid.contexts.values()):
        context.node_config["transcript"] = str(tmp_path / f"node-{number}.jsonl")
    asked.grid.before = at(R2, swallow, group="1")
    with Transcript.open(tmp_path / "server.jsonl", None) as transcript:
        settings = server_app.settings_of(asked.config)
        chronicle = Chronicle("1", transcript.append)
        analytics_job.run(asked.grid, asked.config, settings, asked.directory, chronicle)
    nodes = [tmp_path / f"node-{number}.jsonl" for number in range(5)]
    found = verify([tmp_path / "server.jsonl"], nodes, Demands())
    assert not [each.line for each in found if each.verdict is Verdict.FAILS]
    assert any("server and nodes know the same sessions" in each.line for each in found)

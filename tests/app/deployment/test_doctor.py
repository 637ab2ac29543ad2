"""A line for everything that is looked at; what is wrong is said with its fix, and hides nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.deployment import doctor
from app.deployment.attending import NodeStart
from bench.plain.launched import free_ports


def node(folder: Path, **changes: object) -> dict[str, doctor.Finding]:
    (port,) = free_ports(1)
    start = NodeStart(folder, superlink=f"127.0.0.1:{port}", **changes)  # type: ignore[arg-type]
    return {finding.what: finding for finding in doctor.examine(doctor.node_checks(start))}


def test_a_good_kit_is_well_but_for_the_server_that_is_not_up(made: Path) -> None:
    found = node(made / "nodes" / "hospital-1")
    assert [what for what, finding in found.items() if not finding.well] == ["port"]
    assert "nobody answers" in found["port"].line
    assert "registered" not in found, "it would only say the same again"
    assert found["identity"].line == "hospital-1, number 1 in the roster"
    assert "min-cohort, min-threshold, adversary" in found["policy"].line
    assert found["port"].text.startswith("WRONG  port: CH-E05  ")
    assert found["policy"].text.startswith("ok     policy: ")


@pytest.mark.parametrize(
    ("spoil", "what", "word"),
    [
        (lambda kit: (kit / "identity.pem").chmod(0o644), {"identity"}, "chmod 600"),
        (lambda kit: (kit / "node.key").unlink(), {"node key"}, "is missing"),
        (lambda kit: (kit / "policy.toml").write_text("min-cohrt = 3"), {"policy"}, "min-cohort"),
        (lambda kit: (kit / "roster.json").write_text("{}"), {"identity", "roster"}, "cannot be used"),
        (
            lambda kit: (kit / "node.env").unlink(),
            {"settings", "identity", "roster", "data", "device"},
            "is missing",
        ),
        (lambda kit: (kit / "data").rmdir(), {"data"}, "there is no data"),
    ],
)
def test_what_is_wrong_is_found_and_the_rest_is_looked_at_all_the_same(
    federation: Path, spoil: Callable[[Path], None], what: set[str], word: str
) -> None:
    kit = federation / "nodes" / "hospital-1"
    before = set(node(kit))
    spoil(kit)
    found = node(kit)
    assert {name for name, finding in found.items() if not finding.well} == what | {"port"}
    assert set(found) == before
    assert all(word in found[name].line for name in what)


def test_a_ledger_is_looked_at_and_a_damaged_one_is_found(made: Path, tmp_path: Path) -> None:
    from privacy.ledger import Ledger

    Ledger.create(tmp_path / "ledger.jsonl", "data")
    kit = made / "nodes" / "hospital-1"
    assert node(kit, state=tmp_path)["ledger"].line.startswith("0 releases charged")
    (tmp_path / "ledger.jsonl").write_text("nonsense\n")
    assert not node(kit, state=tmp_path)["ledger"].well


def test_a_server_kit_is_looked_at(federation: Path) -> None:
    (port,) = free_ports(1)

    def found() -> dict[str, doctor.Finding]:
        checks = doctor.server_checks(federation / "server", port)
        return {finding.what: finding for finding in doctor.examine(checks)}

    assert [what for what, finding in found().items() if not finding.well] == ["port"]
    (federation / "server" / "server.key").chmod(0o644)
    (federation / "server" / "nodes" / "hospital-2.pub").write_text("x")
    assert {what for what, finding in found().items() if not finding.well} == {"certificate", "nodes", "port"}

"""The ledger: nothing is released that is not on disk, and nothing doubtful is trusted."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import privacy.ledger_file
from arithmetic.errors import ChorusError, ParameterError
from privacy.accounting import rdp_epsilon
from privacy.chained_lines import START, line_of
from privacy.errors import (
    BudgetExhausted,
    LedgerDamaged,
    LedgerError,
    LedgerForeign,
    LedgerHeld,
    LedgerMissing,
)
from privacy.ledger import Ledger
from privacy.mechanisms import Budget, GaussianRelease, Mechanism, PoissonGaussian, to_record

DATA = "sha256:" + "ab" * 32
PLENTY = Budget(1e6, 1e-5)
ROUND = PoissonGaussian(0.01, 1.1, 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "node.ledger"
    Ledger.create(place, DATA)
    return place


def charge(path: Path, rounds: int, mechanism: Mechanism = ROUND, run: str = "run") -> None:
    with Ledger.open(path, DATA) as ledger:
        for number in range(rounds):
            ledger.charge(mechanism, run, number, PLENTY)


def rewrite(path: Path, change: Callable[[dict[str, object]], None], number: int) -> None:
    """Change one line and chain all anew, as somebody would who knows how."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    change(entries[number])
    chain, content = START, b""
    for entry in entries:
        del entry["chain"]
        line, chain = line_of(entry, chain)
        content += line
    path.write_bytes(content)


# ---- what it is for


def test_it_outlives_runs_and_counts_them_together(path: Path) -> None:
    charge(path, 3, run="one")
    charge(path, 2, run="two")
    with Ledger.open(path, DATA) as ledger:
        assert ledger.mechanisms == (ROUND,) * 5
        assert ledger.spent(1e-5)["example"] == pytest.approx(rdp_epsilon([ROUND] * 5, 1e-5), rel=1e-12)
        assert ledger.spent(1e-5)["client"] == 0.0


def test_a_charge_is_on_disk_when_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *args: calls.append("write") or write(*args))
    monkeypatch.setattr(os, "fsync", lambda *args: calls.append("fsync") or fsync(*args))
    with Ledger.open(path, DATA) as ledger:
        ledger.charge(ROUND, "run", 0, PLENTY)
        calls.append("release")
    assert calls == ["write", "fsync", "release"]


def test_a_new_ledger_is_private_and_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[bool] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synchronised.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    Ledger.create(tmp_path / "new", DATA)
    assert synchronised == [False, False, True]  # the file, its marker, then the folder
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


# ---- the gate


def test_the_release_that_would_pass_the_budget_is_refused_before_it_is_written(path: Path) -> None:
    budget = Budget(rdp_epsilon([ROUND] * 4, 1e-5) * (1 + 1e-9), 1e-5)
    with Ledger.open(path, DATA) as ledger:
        for number in range(4):
            ledger.charge(ROUND, "run", number, budget)
        before = path.read_bytes()
        with pytest.raises(BudgetExhausted, match="example-level budget") as refused:
            ledger.charge(ROUND, "run", 4, budget)
        assert path.read_bytes() == before
        assert ledger.mechanisms == (ROUND,) * 4
    assert refused.value.code == "POLICY"
    assert refused.value.epsilon == pytest.approx(rdp_epsilon([ROUND] * 5, 1e-5))
    assert isinstance(refused.value, ChorusError)


def test_units_have_budgets_of_their_own(path: Path) -> None:
    update = GaussianRelease(5.0, 1)
    one_each = Budget(max(rdp_epsilon([ROUND], 1e-5), rdp_epsilon([update], 1e-5)) * (1 + 1e-9), 1e-5)
    with Ledger.open(path, DATA) as ledger:
        ledger.charge(ROUND, "run", 0, one_each)
        ledger.charge(update, "run", 0, one_each)
        with pytest.raises(BudgetExhausted, match="client-level"):
            ledger.charge(GaussianRelease(1.0, 1), "run", 1, one_each)


def test_a_mechanism_without_privacy_never_passes(path: Path) -> None:
    with Ledger.open(path, DATA) as ledger, pytest.raises(BudgetExhausted):
        ledger.charge(GaussianRelease(1e-200, 1), "run", 0, PLENTY)


@pytest.mark.parametrize(
    ("run", "server_round"), [("", 0), ("x" * 257, 0), (7, 0), ("run", -1), ("run", 1.0)]
)
def test_a_charge_without_a_proper_name_is_refused(path: Path, run: str, server_round: int) -> None:
    with Ledger.open(path, DATA) as ledger, pytest.raises(ParameterError):
        ledger.charge(ROUND, run, server_round, PLENTY)


def test_releases_are_checked_together(path: Path) -> None:
    """Each fits by itself, all of them do not: the check is of the sum, unit by unit."""
    budget = Budget(rdp_epsilon([ROUND] * 2, 1e-5) * (1 + 1e-9), 1e-5)
    update = GaussianRelease(100.0, 1)
    with Ledger.open(path, DATA) as ledger:
        ledger.check(ROUND, update, ROUND, update, budget=budget)
        before = path.read_bytes()
        with pytest.raises(BudgetExhausted, match="example-level") as refused:
            ledger.check(ROUND, update, ROUND, ROUND, budget=budget)
        assert refused.value.epsilon == pytest.approx(rdp_epsilon([ROUND] * 3, 1e-5))
        assert path.read_bytes() == before
        assert ledger.spent(1e-5) == {"example": 0.0, "client": 0.0}  # a check counts nothing


def test_the_gate_at_ten_thousand_rounds(path: Path) -> None:
    lines, chain = [path.read_bytes()], json.loads(path.read_text())["chain"]
    for number in range(10_000):
        entry = {"mechanism": to_record(ROUND), "unit": "example", "run": "run", "round": number}
        line, chain = line_of(entry, chain)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    spent = rdp_epsilon([ROUND] * 10_000, 1e-5)
    with Ledger.open(path, DATA) as ledger:
        assert len(ledger.mechanisms) == 10_000
        assert ledger.spent(1e-5)["example"] == pytest.approx(spent, rel=1e-9)
        ledger.check(ROUND, budget=PLENTY)
        with pytest.raises(BudgetExhausted):
            ledger.check(ROUND, budget=Budget(spent, 1e-5))


def test_colluders_are_written_down(path: Path) -> None:
    shared = PoissonGaussian(0.01, 1.1, 1, 1e-12, 3)
    charge(path, 1, shared)
    assert json.loads(path.read_text().splitlines()[1])["mechanism"]["colluders"] == 3
    with Ledger.open(path, DATA) as ledger:
        assert ledger.mechanisms == (shared,)


# ---- what is not trusted


def test_it_is_made_once(path: Path) -> None:
    with pytest.raises(LedgerError, match="File exists"):
        Ledger.create(path, DATA)
    assert Ledger.existed(path)


def test_a_ledger_that_was_never_made_is_refused(tmp_path: Path) -> None:
    assert not Ledger.existed(tmp_path / "none")
    with pytest.raises(LedgerMissing, match="never made"):
        Ledger.open(tmp_path / "none", DATA)


def test_a_ledger_that_vanished_is_neither_opened_nor_made_anew(path: Path) -> None:
    path.unlink()
    assert Ledger.existed(path)
    for use in (Ledger.open, Ledger.create):
        with pytest.raises(LedgerMissing, match="vanished"):
            use(path, DATA)
    assert not path.exists()


def test_a_marker_that_was_never_written_is_written_by_the_next_who_opens(path: Path) -> None:
    marker = path.with_name(path.name + ".made")
    marker.unlink()
    Ledger.open(path, DATA).close()
    assert marker.exists()


@pytest.mark.parametrize("loss", ["removed", "replaced", "cut", "grown"])
def test_a_ledger_that_changes_while_it_is_open_takes_no_more_charges(path: Path, loss: str) -> None:
    charge(path, 1)
    with Ledger.open(path, DATA) as ledger:
        content = path.read_bytes()
        if loss in ("removed", "replaced"):
            path.unlink()
        if loss != "removed":
            path.write_bytes({"replaced": content, "cut": content[:-1], "grown": content + b"x"}[loss])
        with pytest.raises(LedgerMissing if loss == "removed" else LedgerDamaged):
            ledger.charge(ROUND, "run", 1, PLENTY)
        assert ledger.mechanisms == (ROUND,)


def test_other_data_are_refused(path: Path) -> None:
    with pytest.raises(LedgerForeign, match="other data"):
        Ledger.open(path, DATA[:-1] + "0")


@pytest.mark.parametrize("schema", [0, 2, "1", None, True, 1.0])
def test_another_schema_is_refused(path: Path, schema: object) -> None:
    rewrite(path, lambda header: header.update(schema=schema), 0)
    with pytest.raises(LedgerForeign, match="schema"):
        Ledger.open(path, DATA)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(unit="client"),
        lambda entry: entry.update(more=1),
        lambda entry: entry.pop("round"),
        lambda entry: entry.pop("mechanism"),
        lambda entry: entry["mechanism"].update(steps=0),
        lambda entry: entry["mechanism"].update(colluders=-1),
        lambda entry: entry["mechanism"].pop("colluders"),
        lambda entry: entry["mechanism"].update(noise_multiplier="1"),
    ],
)
def test_a_line_that_is_no_charge_is_refused(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    charge(path, 3)
    rewrite(path, change, 2)
    with pytest.raises(LedgerDamaged):
        Ledger.open(path, DATA)


def test_an_edited_line_is_refused(path: Path) -> None:
    charge(path, 3)
    path.write_bytes(path.read_bytes().replace(b'"steps":20', b'"steps":10', 1))
    with pytest.raises(LedgerDamaged, match=r"node\.ledger is not used: line 2"):
        Ledger.open(path, DATA)


def test_an_empty_file_is_refused(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(LedgerDamaged, match="empty"):
        Ledger.open(path, DATA)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(LedgerError):
            Ledger.open(tmp_path / name, DATA)


@pytest.mark.parametrize("bad", ["", "x" * 257, 3])
def test_a_fingerprint_that_is_none_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ParameterError, match="fingerprint"):
        Ledger.create(tmp_path / "new", bad)


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be made"):
        Ledger.create(tmp_path / "none" / "new", DATA)


def test_a_refused_ledger_is_not_left_locked(path: Path) -> None:
    with pytest.raises(LedgerForeign):
        Ledger.open(path, "other")
    Ledger.open(path, DATA).close()


# ---- two at once


def test_the_second_who_opens_is_refused_even_in_one_process(path: Path) -> None:
    with Ledger.open(path, DATA), pytest.raises(LedgerHeld):
        Ledger.open(path, DATA)
    Ledger.open(path, DATA).close()


CHARGE_FOR_EVER = """
import sys
from pathlib import Path
from privacy.ledger import Ledger
from privacy.mechanisms import Budget, PoissonGaussian
with Ledger.open(Path(sys.argv[1]), sys.argv[2]) as ledger:
    for number in range(10**9):
        ledger.charge(PoissonGaussian(0.01, 1.1, 20), "run", number, Budget(1e6, 1e-5))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


def charging(path: Path) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", CHARGE_FOR_EVER, str(path), DATA]
    root = Path(privacy.ledger_file.__file__).parents[1]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root)


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(path: Path) -> None:
    with charging(path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LedgerHeld, match="another process"):
            Ledger.open(path, DATA)
        child.kill()
    Ledger.open(path, DATA).close()


# ---- killed


def put(path: Path, content: bytes) -> None:
    """Make the file hold `content` without emptying it first, which a journal would wait for."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


class Killed(BaseException):
    """The process ends here."""


def recorded(path: Path, charges: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int]]:
    """Everything a disk may hold after a kill, byte by byte, with what was released until then."""
    states: list[tuple[bytes, int]] = []
    done = 0
    write = os.write

    def byte_by_byte(descriptor: int, data: bytes) -> int:
        written = write(descriptor, data[:1])
        states.append((path.read_bytes(), done))
        return written

    with Ledger.open(path, DATA) as ledger:
        monkeypatch.setattr(os, "write", byte_by_byte)
        for number in range(charges):
            ledger.charge(ROUND, "run", number, PLENTY)
            done = number + 1
            states.append((path.read_bytes(), done))
        monkeypatch.undo()
    return states


@pytest.mark.slow
def test_ten_thousand_kill_points_never_count_too_little(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = recorded(path, 46, monkeypatch)
    assert len(states) >= 10_000
    refused = 0
    for content, released in states:
        put(path, content)
        if not content.endswith(b"\n"):
            with pytest.raises(LedgerDamaged, match="cut the file to") as torn:
                Ledger.open(path, DATA)
            refused += 1
            put(path, content[: int(str(torn.value).rsplit("cut the file to ", 1)[1].split()[0])])
        with Ledger.open(path, DATA) as ledger:
            counted = len(ledger.mechanisms)
        assert released <= counted <= released + content.endswith(b"\n")
    print(f"{len(states)} kill points, {refused} torn and refused")
    assert 0 < refused < len(states)


def test_a_kill_inside_a_write_is_refused_or_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    charge(path, 2)
    whole, write = path.read_bytes(), os.write
    for reached in (0, 1, 100, 10_000):

        def dying(descriptor: int, data: bytes, reached: int = reached) -> int:
            write(descriptor, data[:reached])
            raise Killed

        path.write_bytes(whole)
        with Ledger.open(path, DATA) as ledger, monkeypatch.context() as patch:
            patch.setattr(os, "write", dying)
            with pytest.raises(Killed):
                ledger.charge(ROUND, "run", 2, PLENTY)
            patch.undo()
            with pytest.raises(LedgerError, match="open it again"):
                ledger.charge(ROUND, "run", 2, PLENTY)
        if 0 < reached < 10_000:
            with pytest.raises(LedgerDamaged, match="torn"):
                Ledger.open(path, DATA)
        else:
            with Ledger.open(path, DATA) as ledger:
                assert len(ledger.mechanisms) == (2 if reached == 0 else 3)


def test_a_kill_while_the_ledger_is_made_leaves_none_that_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, place = os.write, tmp_path / "new"

    def dying(descriptor: int, data: bytes) -> int:
        write(descriptor, data[:10])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", dying)
        with pytest.raises(Killed):
            Ledger.create(place, DATA)
    assert Ledger.existed(place)
    with pytest.raises(LedgerDamaged):
        Ledger.open(place, DATA)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.1])
def test_killed_processes_never_count_too_little(path: Path, seconds: float) -> None:
    with charging(path) as child:
        assert child.stdout is not None
        printed = child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        printed += child.stdout.read()
    released = printed.count("\n")
    with Ledger.open(path, DATA) as ledger:
        assert 1 <= released <= len(ledger.mechanisms) <= released + 1


# ---- disks that fail


def test_a_full_disk_is_an_error_and_the_ledger_parses_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(path, 2)
    whole, write = path.read_bytes(), os.write
    budget_of_bytes = iter([50, 0])

    def filling(descriptor: int, data: bytes) -> int:
        room = next(budget_of_bytes)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:room])

    with Ledger.open(path, DATA) as ledger, monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with pytest.raises(LedgerError, match="No space left"):
            ledger.charge(ROUND, "run", 2, PLENTY)
        patch.undo()
        assert len(ledger.mechanisms) == 2
        with pytest.raises(LedgerError, match="open it again"):
            ledger.charge(ROUND, "run", 2, PLENTY)
    assert path.read_bytes() == whole
    charge(path, 1)


def test_a_disk_that_does_not_synchronise_is_never_trusted_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Ledger.open(path, DATA) as ledger, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.charge(ROUND, "run", 0, PLENTY)
        patch.undo()
        with pytest.raises(LedgerError, match="open it again"):
            ledger.charge(ROUND, "run", 0, PLENTY)
    with Ledger.open(path, DATA) as ledger:
        assert len(ledger.mechanisms) == 1  # it reached the file: counted, though nothing was released


def test_a_closed_ledger_takes_no_charge(path: Path) -> None:
    ledger = Ledger.open(path, DATA)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.charge(ROUND, "run", 0, PLENTY)

"""Throwaway identities for simulated clients: one place for each, nobody else's to read, made once a run."""

import stat
from pathlib import Path

import pytest

from app.simulated_roster import lay_identities
from arithmetic.errors import SetupError
from clients.identity import load_key, load_roster


def test_every_client_has_its_own_place(tmp_path: Path) -> None:
    keys = lay_identities(tmp_path, 5)
    assert set(keys) == {"roster", "roster-authority"}
    roster = load_roster(Path(keys["roster"]), keys["roster-authority"])
    assert [member.name for member in roster.members] == [f"client-{number}" for number in range(5)]
    for number in range(5):
        key = load_key(tmp_path / "identities" / f"{number}.pem")
        assert roster.number_of(key.public) == number + 1


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    lay_identities(tmp_path, 3)
    assert stat.S_IMODE((tmp_path / "identities").stat().st_mode) == 0o700
    for path in (tmp_path / "identities").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_authoritys_private_key_is_thrown_away(tmp_path: Path) -> None:
    lay_identities(tmp_path, 3)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"roster.json", "authority.hex", *(f"identities/{number}.pem" for number in range(3))}
    assert "PRIVATE" not in (tmp_path / "authority.hex").read_text() + (tmp_path / "roster.json").read_text()


def test_what_a_run_has_already_is_kept(tmp_path: Path) -> None:
    first = lay_identities(tmp_path, 3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert lay_identities(tmp_path, 3) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_runs_share_no_key(tmp_path: Path) -> None:
    rosters = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        keys = lay_identities(tmp_path / name, 3)
        rosters.append(load_roster(Path(keys["roster"]), keys["roster-authority"]))
    assert not {m.key for m in rosters[0].members} & {m.key for m in rosters[1].members}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"cannot be written .* --runs-dir"):
        lay_identities(tmp_path / "file", 3)
    with pytest.raises(SetupError, match="cannot be written"):
        lay_identities(tmp_path / "nowhere", 3)

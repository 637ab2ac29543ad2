"""What transcripts prove: a clean set passes, and whoever tells it otherwise is found out and named."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from app.findings import Finding, Verdict
from app.verify import verify
from app.verify_terms import Demands
from arithmetic.errors import ConfigError
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import NotAuthentic
from secagg.primitives import SigningKey
from tests.support.launched import ROOT
from tests.support.launched import run as launch
from tests.support.told_run import (
    AUTHORITY,
    POLICY,
    PRIVATE,
    Table,
    ToldRun,
    change,
    forge,
    hexed,
    leaves,
    tables_of,
)  # fmt: skip
from wire.transcript import Transcript

# What nothing else repeats: whoever may write an unsigned file may change it unseen (docs/transcript.md).
UNBOUND = {
    ("opened", "file"), ("opened", "before"), ("session", "asked"), ("summed", "revealed"), ("summed", "verdict"),
    ("refused", "code"), ("refused", "protocol_round"), ("refused", "sentence"), ("refused", "session"),
}  # fmt: skip
LOCAL = PrivacyTerms(PrivacyMode.LOCAL, 1.0, 1.0, delta=1e-5)
LOUD = PrivacyTerms(PrivacyMode.CLIENT, client_noise_multiplier=9.0, client_clipping_norm=1.0, delta=1e-5)
Edit = Callable[[list[Table]], None]


@pytest.fixture
def told(tmp_path: Path) -> ToldRun:
    """Nobody signs, every training is private."""
    return ToldRun(tmp_path, terms=PRIVATE)


@pytest.fixture
def signed(tmp_path: Path) -> ToldRun:
    """Every node signs."""
    return ToldRun(tmp_path, active=True, terms=PRIVATE)


def demands(told: ToldRun) -> Demands:
    roster, authority = (told.roster_path, AUTHORITY.public.hex()) if told.active else (None, "")
    ledgers = told.ledgers if told.terms.mode is not PrivacyMode.NONE else []
    return Demands.load(roster, authority, [told.policy], ledgers)


def found(told: ToldRun, verdict: Verdict = Verdict.FAILS, nodes: Iterable[Path] | None = None) -> list[str]:
    """Lines of a verdict, without the folder's name."""
    findings = verify([told.server], told.nodes if nodes is None else nodes, demands(told))
    return [each.line.replace(f"{told.folder}/", "") for each in findings if each.verdict is verdict]


def edit(path: Path, change_lines: Edit) -> None:
    """Change an unsigned file and chain all anew."""
    tables = tables_of(path)
    change_lines(tables)
    forge(path, tables)


def lines(tables: list[Table], kind: str) -> list[Table]:
    return [table for table in tables if table["kind"] == kind]


def set_all(path: Path, kind: str, **values: Any) -> None:
    edit(path, lambda tables: [table.update(values) for table in lines(tables, kind)] and None)


# --- clean sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("terms", [PrivacyTerms(), PRIVATE])
def test_a_clean_set_passes(tmp_path: Path, active: bool, terms: PrivacyTerms) -> None:
    told = ToldRun(tmp_path, active=active, terms=terms)
    assert found(told) == []
    checks = {
        "lines",
        "order",
        "sessions",
        "views",
        "masks",
        "survivors",
        "shares",
        "model",
        "adversary",
        "policy",
    }
    assert {line.split()[1] for line in found(told, Verdict.HOLDS)} >= checks | {"privacy"}


def test_the_command_says_a_line_a_check(signed: ToldRun) -> None:
    done = run(signed.arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert (
        "ok    masks      one self mask, and one for each neighbour that shared keys, before anything left"
        in said
    )
    assert f"ok    identities every node signed, as a member of {signed.roster.fingerprint}" in said
    assert "ok    privacy    mode client; 8 noisy releases of these nodes, each charged" in said
    assert not [line for line in said if line.startswith("fails")]


def test_what_does_not_hold_is_exit_code_3(signed: ToldRun) -> None:
    signed.nodes[0].write_bytes(signed.nodes[0].read_bytes().replace(b'"self_masks":1', b'"self_masks":0', 1))
    done = run(signed.arguments)
    assert done.returncode == 3
    assert (
        f"fails lines      {signed.nodes[0]}, line 3: it does not follow from the one before" in done.stdout
    )
    assert "masks" not in done.stdout.replace("masks.", ""), "nothing else is worth judging"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl cannot be read (No such file or directory)"),
        (["--ledger", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["--policy", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--authority", "abc"], "--roster and --authority belong together"),
        (["--roster", "nowhere.json"], "--roster and --authority belong together"),
    ],
)
def test_a_users_mistake_is_exit_code_2(tmp_path: Path, more: list[str], said: str) -> None:
    done = run([*ToldRun(tmp_path).arguments, *more])
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_transcript_given_twice_is_a_mistake(told: ToldRun) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        found(told, nodes=[*told.nodes, told.nodes[0]])


@pytest.mark.slow
@pytest.mark.simulation
def test_a_real_run_is_proved_and_one_edited_digit_is_not(tmp_path: Path) -> None:
    """Against an active server, with noise, and with a client that vanishes in r2 of the first round."""
    keys = {
        "task": "digits_hog", "adversary": "active", "clients": 4, "rounds": 2, "privacy": "client",
        "client-noise-multiplier": 4, "delta": 1e-5, "local-epochs": 1,
    }  # fmt: skip
    settings = [part for key, value in keys.items() for part in ("-c", f"{key}={value}")]
    command = [sys.executable, "-m", "app", "run", "--quiet", "--drop", "1@r2:round1", *settings]
    finished = launch(command, tmp_path)
    assert finished.exit_code == 0, finished.output + finished.errors
    folder = finished.directory
    server, *rest = sorted((folder / "transcripts").glob("server-*.jsonl"))
    nodes = sorted((folder / "transcripts").glob("[0-9].jsonl"))
    assert (rest, len(nodes)) == ([], 4)
    authority = (folder / "authority.hex").read_text().strip()
    arguments = ["--server", str(server), *map(str, nodes), "--roster", str(folder / "roster.json")]
    arguments += ["--authority", authority]
    arguments += [part for path in (folder / "ledgers").glob("*.jsonl") for part in ("--ledger", str(path))]
    done = run(arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    privacy    mode client; 8 noisy releases of these nodes, each charged" in done.stdout
    assert "it left without a word" in done.stdout
    edit(server, lambda tables: lines(tables, "session")[0]["params"].update(modulus_bits=33))
    done = run(arguments)
    assert done.returncode == 3
    assert "the context is not that of its fields" in done.stdout


# --- every edit ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "whose", ["node-1", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("server", "node-4"))]
)
def test_an_unsigned_file_chained_anew_contradicts_the_others(told: ToldRun, whose: str) -> None:
    """Every field of every line, with exactly the exceptions that the page names."""
    path, unseen = told.folder / f"{whose}.jsonl", set()
    whole, tables = path.read_bytes(), tables_of(path)
    for at, table in enumerate(tables):
        for place in leaves(table):
            edit(path, lambda again, at=at, place=place: change(again[at], place))  # type: ignore[misc]
            if not found(told):
                unseen.add((table["kind"], place[-1]))
            path.write_bytes(whole)
    kinds = {table["kind"] for table in tables}
    assert unseen == {each for each in UNBOUND if each[0] in kinds}


@pytest.mark.parametrize("whose", ["server", "node-1", "node-4"])
def test_an_unsigned_line_that_is_dropped_is_missed(told: ToldRun, whose: str) -> None:
    path = told.folder / f"{whose}.jsonl"
    whole, tables = path.read_bytes(), tables_of(path)
    for at, table in enumerate(tables):
        edit(path, lambda again, at=at: again.pop(at) and None)  # type: ignore[misc]
        if table["kind"] == "refused":
            assert "left without a word" in "".join(found(told, Verdict.NOTE))
        else:
            assert found(told), f"line {at + 1}"
        path.write_bytes(whole)


@pytest.mark.parametrize("whose", ["server", "node-1"])
def test_lines_cut_off_at_the_end_are_missed(told: ToldRun, whose: str) -> None:
    path = told.folder / f"{whose}.jsonl"
    whole = path.read_bytes()
    raw = whole.splitlines(keepends=True)
    for left in range(len(raw)):
        path.write_bytes(b"".join(raw[:left]))
        assert found(told), f"{left} lines left"
        path.write_bytes(b"".join(raw[:left]) + raw[left][:-1])
        assert f"fails lines      {whose}.jsonl, line {left + 1}: it has no end" in found(told)[0]
    path.write_bytes(whole)
    assert found(told) == []


@pytest.mark.parametrize("whose", ["server", "node-1"])
def test_swapped_lines_of_an_unsigned_file_are_out_of_turn(told: ToldRun, whose: str) -> None:
    path = told.folder / f"{whose}.jsonl"
    whole = path.read_bytes()
    for at in range(len(tables_of(path)) - 1):

        def swap(tables: list[Table], at: int = at) -> None:
            tables[at], tables[at + 1] = tables[at + 1], tables[at]

        before = [table["kind"] for table in tables_of(path)[at : at + 2]]
        edit(path, swap)
        # Sessions side by side may begin and end in any order.
        if before not in (["revealed", "joined"], ["summed", "session"]):
            assert found(told), f"lines {at + 1} and {at + 2}"
        path.write_bytes(whole)


def test_swapped_files_are_found(told: ToldRun) -> None:
    told.server, told.nodes[0] = told.nodes[0], told.server
    said = found(told)
    assert any("a joined is no line of a server" in line for line in said)
    assert any("a session is no line of a node" in line for line in said)


def test_a_nodes_file_in_anothers_place_is_found(signed: ToldRun) -> None:
    """The file of another run by the same node, or one that somebody else signed."""
    other = ToldRun(make(signed.folder / "other"), active=True)
    edit_run(other, "9876543210")
    signed.nodes[0] = other.nodes[0]
    assert any("other/node-1.jsonl knows no session of run 1234567890" in line for line in found(signed))


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def edit_run(told: ToldRun, run: str) -> None:
    """Write the first node's transcript anew for another run, with its own key."""
    tables = [
        {k: v for k, v in table.items() if k not in ("kind", "signature")} | {"was": table["kind"]}
        for table in tables_of(told.nodes[0])
    ][1:]
    told.nodes[0].unlink()
    from wire.entries import from_json

    with Transcript.open(told.nodes[0], told.key(1)) as again:
        for table in tables:
            kind = table.pop("was")
            if kind == "joined":
                table["run"] = run
            entry = from_json({"kind": kind, **table})
            again.append(kind, **{name: getattr(entry, name) for name in type(entry).model_fields})


# --- signatures and rosters ----------------------------------------------------------------------


def test_another_key_than_the_rosters_is_found(signed: ToldRun) -> None:
    """Somebody chains and signs a whole file anew, with a key of their own."""
    signed.keys[0] = SigningKey(b"\x55" * 32)
    edit_run(signed, "1234567890")
    assert any("node-1.jsonl: this identity key is not in the roster" in line for line in found(signed))


def test_an_unsigned_file_is_no_members(signed: ToldRun, tmp_path: Path) -> None:
    signed.active = False
    edit_run(signed, "1234567890")
    signed.active = True
    assert any("node-1.jsonl: this identity key is not in the roster" in line for line in found(signed))


def test_a_member_cannot_speak_for_another(signed: ToldRun) -> None:
    signed.keys[0] = signed.keys[1]
    edit_run(signed, "1234567890")
    assert any("node-1.jsonl" in line and "as another member of the roster" in line for line in found(signed))


def test_without_a_roster_nobody_vouches(signed: ToldRun) -> None:
    findings = verify([signed.server], signed.nodes, Demands())
    assert all(each.verdict is not Verdict.FAILS for each in findings)
    notes = [each.text for each in findings if each.verdict is Verdict.NOTE]
    assert any(
        "4 of 4 nodes signed; no roster was given, so nobody vouches for the keys" in note for note in notes
    )
    assert any("12 of 12 sessions met a policy, as nodes say" in note for note in notes)
    assert any("no ledger was given" in note for note in notes)


def test_a_roster_asks_for_sessions_against_an_active_server(told: ToldRun) -> None:
    held = Demands.load(told.roster_path, AUTHORITY.public.hex(), [], [])
    failed = [each.line for each in verify([told.server], told.nodes, held) if each.verdict is Verdict.FAILS]
    assert any(line.startswith("fails adversary  0 of 3 sessions") for line in failed)
    assert any("the session was held under another roster" in line for line in failed)


def test_a_roster_of_another_authority_is_refused(signed: ToldRun) -> None:
    with pytest.raises(NotAuthentic):
        Demands.load(signed.roster_path, SigningKey(b"\x11" * 32).public.hex(), [], [])


# --- what server and nodes must agree on ---------------------------------------------------------


def test_a_split_view_is_found(told: ToldRun) -> None:
    """The server wrote down one session, and showed node 1 another of that name."""

    def other(tables: list[Table]) -> None:
        for table in lines(tables, "joined")[:1]:
            table["model"], table["context"] = hexed("another model"), hexed("another context")

    edit(told.nodes[0], other)
    assert any(
        "node-1.jsonl, session 01010101 (round 1, training): the server showed this node another context, model"
        in line
        for line in found(told)
    )


def test_a_session_the_server_hides_is_found(told: ToldRun) -> None:
    session = lines(tables_of(told.server), "session")[2]["session"]
    edit(told.server, lambda tables: keep(tables, lambda table: table.get("session") != session))
    assert any(
        "node-1.jsonl joined session 03030303, which the server does not show" in line for line in found(told)
    )


def test_a_session_that_no_node_knows_is_found(told: ToldRun) -> None:
    session = lines(tables_of(told.server), "session")[1]["session"]
    for path in told.nodes:
        edit(path, lambda tables: keep(tables, lambda table: table.get("session") != session))
    said = found(told)
    assert any(
        "session 02020202 of the server was summed, and none of these nodes knows it" in line for line in said
    )


def keep(tables: list[Table], wanted: Callable[[Table], bool]) -> None:
    tables[:] = [table for table in tables if wanted(table)]


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("masked", {"self_masks": 0}, "it added 0 self masks and 3 pairwise masks, where 1 and 3 are due"),
        ("masked", {"pairwise_masks": 2}, "it added 1 self masks and 2 pairwise masks, where 1 and 3 are due"),
        ("masked", {"sharers": 3}, "it was told of other clients that shared keys"),
        ("revealed", {"mask_key_shares": 2}, "where 3 and 1 are due: one a peer, and its own"),
        ("revealed", {"self_mask_shares": 4, "mask_key_shares": 4}, "it revealed 4 shares of self masks and 4"),
        ("revealed", {"survivors": 2}, "it revealed for 2 survivors, too few"),
        ("revealed", {"survivors_digest": hexed("x")}, "it revealed for other survivors than the server wrote down"),
        ("joined", {"node": 7}, "the server knows index 1 as another node"),
        ("joined", {"policy": ""}, "it went by no policy"),
        ("joined", {"policy": hexed("x")}, "it went by another policy"),
    ],
)  # fmt: skip
def test_a_node_that_says_so_is_found(told: ToldRun, kind: str, values: Table, said: str) -> None:
    set_all(told.nodes[0], kind, **values)
    assert any("node-1.jsonl" in line and said in line for line in found(told))


@pytest.mark.parametrize(
    ("kind", "again", "said"),
    [
        ("masked", "masked", "it masked a second time in session 01010101"),
        ("revealed", "revealed", "it revealed a second time in session 01010101"),
        ("joined", "joined", "session 01010101 is joined a second time"),
        ("revealed", "masked", "it masked a second time"),
    ],
)
def test_a_second_time_is_found(told: ToldRun, kind: str, again: str, said: str) -> None:
    def repeat(tables: list[Table]) -> None:
        at = tables.index(lines(tables, kind)[0])
        tables.insert(at + 1, lines(tables, again)[0])

    edit(told.nodes[0], repeat)
    assert any(said in line for line in found(told))


def test_shares_without_a_mask_or_a_signature_are_found(signed: ToldRun) -> None:
    signed.active = False  # unsigned, so that the order of lines is what is judged
    tables = [{k: v for k, v in table.items() if k != "signature"} for table in tables_of(signed.nodes[0])]
    tables[0]["key"] = ""
    for kind, said in (
        ("masked", "it signed in session 01010101 without a mask"),
        ("signed", "it revealed in session 01010101 without a signature on the survivors"),
    ):
        forge(signed.nodes[0], [table for table in tables if table is not lines(tables, kind)[0]])
        assert any(said in line for line in found(signed))


def test_a_node_that_vanished_is_noted_and_not_blamed(told: ToldRun) -> None:
    """Client 4 of round 1, killed after r1: no line says that it left."""
    edit(told.nodes[3], lambda tables: keep(tables, lambda table: table["kind"] != "refused"))
    assert found(told) == []
    notes = found(told, Verdict.NOTE)
    assert (
        "note  nodes      node-4.jsonl, session 01010101 (round 1, training): it left without a word" in notes
    )


def test_nodes_whose_transcripts_are_not_given_are_counted(told: ToldRun) -> None:
    assert found(told, nodes=told.nodes[:3]) == []
    notes = found(told, Verdict.NOTE, told.nodes[:3])
    assert "note  nodes      1 of 4 nodes gave no transcript: nothing is proved of them" in notes


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("survivors", {"members": [1, 2]}, "2 survivors were summed, 3 are the fewest"),
        ("survivors", {"members": [1, 2, 5]}, "the survivors of session 01010101 are not of those that shared keys"),
        ("survivors", {"members": [2, 1, 3]}, "are not of those that shared keys"),
        ("sharers", {"members": [1, 2, 3, 5]}, "the sharers of session 01010101 are not of the cohort"),
        ("summed", {"survivors": 4}, "sums 4 vectors, and 3 clients survived"),
        ("summed", {"revealed": [1, 2]}, "2 clients revealed shares, and 3 rebuild a secret"),
        ("summed", {"revealed": [1, 2, 4]}, "shares of others were revealed"),
        ("session", {"nodes": [1001, 1002, 1003, 1003]}, "it names 3 nodes for 4 indices"),
        ("session", {"members": [1, 2, 3, 4]}, "its standing is not that of its roster and members"),
        ("session", {"code": "chorus secagg 0"}, "it ran 'chorus secagg 0'"),
        ("round", {"model_after": hexed("x")}, "round 2 begins with another model than round 1 ended with"),
        ("round", {"model_before": hexed("x")}, "had another model than round 1 of the server"),
    ],
)  # fmt: skip
def test_a_server_that_says_so_is_found(told: ToldRun, kind: str, values: Table, said: str) -> None:
    set_all(told.server, kind, **values)
    assert any(said in line for line in found(told)), found(told)


def test_a_model_that_changes_without_a_sum_is_found(told: ToldRun) -> None:
    def failed(tables: list[Table]) -> None:
        summed = lines(tables, "summed")[0]
        tables[tables.index(summed)] = {"kind": "failed", "session": summed["session"], "code": "QUORUM"}

    edit(told.server, failed)
    assert "fails model      round 1 changed the model, and nothing was summed in it" in found(told)


def test_a_server_that_was_killed_and_resumed_is_believed(tmp_path: Path) -> None:
    """In the second round, before its evaluation ended: another Flower run goes on, with the model of the first."""
    first = ToldRun(make(tmp_path / "first"))
    cut = len(tables_of(first.server)) - 2
    edit(first.server, lambda tables: tables.__delitem__(slice(cut, None)))
    assert [line.split("; ")[0] for line in found(first)] == [
        "fails order      server.jsonl: session 03030303 has no end",
        "fails order      server.jsonl: round 2 has no end",
    ]
    second = ToldRun(make(tmp_path / "second"), run="2", first=16)
    joined = [join(*pair) for pair in zip(first.nodes, second.nodes, strict=True)]
    assert failures([first.server, second.server], joined, first) == []
    assert len(failures([second.server, first.server], joined, first)) == 2, (
        "in that order the end is missing"
    )
    set_all(second.server, "session", model=hexed("another"))
    assert any(
        "goes on with a model that" in line for line in failures([first.server, second.server], joined, first)
    )


def failures(servers: list[Path], nodes: list[Path], told: ToldRun) -> list[str]:
    return [each.text for each in verify(servers, nodes, demands(told)) if each.verdict is Verdict.FAILS]


def join(first: Path, second: Path) -> Path:
    """One file of a node that took part in two runs."""
    edit(first, lambda tables: tables.extend(tables_of(second)[1:]))
    return first


# --- files that were put aside -------------------------------------------------------------------


def test_a_file_torn_by_a_crash_and_the_one_after_it_are_one(signed: ToldRun) -> None:
    node, whole = signed.nodes[0], signed.nodes[0].read_bytes()
    raw = whole.splitlines(keepends=True)
    node.write_bytes(b"".join(raw[:-1]) + raw[-1][:20])  # killed while it wrote that it revealed
    with Transcript.open(node, signed.key(1)) as again:
        again.append("refused", session="", protocol_round="r0", code="STATE", sentence="not now")
    aside = node.with_name("node-1.jsonl.1")
    assert found(signed, nodes=[aside, *signed.nodes]) == found(signed, nodes=[*signed.nodes, aside])
    assert [line for line in found(signed, nodes=[aside, *signed.nodes]) if " lines " in line] == []
    assert any("follows a file that was put aside" in line for line in found(signed, Verdict.NOTE))
    os.unlink(node)
    shutil.copy(aside, node)
    assert "line 13: it has no end" in "".join(found(signed)), "torn, and nothing says that it was a crash"


def test_an_edited_file_that_was_put_aside_is_still_edited(told: ToldRun) -> None:
    node = told.nodes[0]
    node.write_bytes(node.read_bytes().replace(b'"self_masks":1', b'"self_masks":0', 1))
    with Transcript.open(node, None):
        pass
    said = found(told, nodes=[node.with_name("node-1.jsonl.1"), *told.nodes])
    assert any("node-1.jsonl.1, line 3: it does not follow" in line for line in said)


# --- policies and ledgers ------------------------------------------------------------------------


def test_a_policy_that_does_not_allow_what_was_done_is_found(told: ToldRun) -> None:
    told.policy.write_text(POLICY.replace("3", "4"))
    digest = hashlib.sha256(told.policy.read_bytes()).hexdigest()
    for path in told.nodes:
        set_all(path, "joined", policy=digest)
    said = found(told)
    assert len(said) == 12
    assert "policy line 1 (min-cohort = 4): the session would unmask a sum of 3 clients" in said[0]


def test_a_round_without_a_charge_is_found(told: ToldRun) -> None:
    set_all(told.nodes[0], "joined", ledger="")
    assert sum("it promises noise, and nothing was charged" in line for line in found(told)) == 2


def test_a_ledger_that_is_not_given_is_missed(told: ToldRun) -> None:
    told.ledgers = told.ledgers[1:]
    assert (
        sum("node-1.jsonl" in line and "no ledger given here has the charge" in line for line in found(told))
        == 2
    )


def test_an_edited_ledger_is_found(told: ToldRun) -> None:
    path = told.ledgers[0]
    path.write_bytes(path.read_bytes().replace(b'"round":1', b'"round":9', 1))
    assert any(
        "ledger-1.jsonl, line 2: it does not follow from the one before" in line for line in found(told)
    )


def test_a_ledger_forged_for_less_noise_no_longer_has_the_charge(told: ToldRun) -> None:
    def louder(tables: list[Table]) -> None:
        for table in tables[1:]:
            table["mechanism"]["noise_multiplier"] *= 2

    edit(told.ledgers[0], louder)
    assert any("no ledger given here has the charge it names" in line for line in found(told))


@pytest.mark.parametrize(("terms", "charged"), [(LOCAL, False), (LOUD, False), (PRIVATE, True)])
def test_a_charge_must_cover_the_terms(told: ToldRun, terms: PrivacyTerms, charged: bool) -> None:
    """All sides say other terms than the ledgers were charged for."""
    from dataclasses import asdict

    for path in (told.server, *told.nodes):
        set_all(path, "session", terms=json.loads(json.dumps(asdict(terms))))
        set_all(path, "joined", terms=json.loads(json.dumps(asdict(terms))))
    said = [line for line in found(told) if line.startswith("fails privacy")]
    assert (said == []) is charged
    assert all("its ledger charged less than the round's terms release" in line for line in said)


def test_one_charge_does_not_serve_two_rounds(told: ToldRun) -> None:
    def first(tables: list[Table]) -> None:
        joined = lines(tables, "joined")
        joined[1]["ledger"] = joined[0]["ledger"]

    edit(told.nodes[0], first)
    assert any(
        "no ledger given here has the charge it names, after the one before" in line for line in found(told)
    )


def test_dp_sgd_is_covered_by_as_much_noise_or_as_little_epsilon() -> None:
    from app.verify_terms import _is_local  # the rule itself: terms of `local` name no release
    from privacy.mechanisms import GaussianRelease, PoissonGaussian

    class Told:
        def __init__(self, terms: PrivacyTerms) -> None:
            self.terms = terms

    by_noise: Any = Told(PrivacyTerms(PrivacyMode.LOCAL, 1.1, 1.0, delta=1e-5))
    assert _is_local(PoissonGaussian(0.1, 1.1, 10), by_noise)
    assert not _is_local(PoissonGaussian(0.1, 1.0, 10), by_noise)
    assert not _is_local(GaussianRelease(9.0, 1), by_noise)
    assert not _is_local(PoissonGaussian(0.1, 9.0, 10, slack=1e-9), by_noise), (
        "noise in shares is not its own"
    )
    by_epsilon: Any = Told(PrivacyTerms(PrivacyMode.LOCAL, 0.0, 1.0, epsilon=2.0, delta=1e-5, rounds=5))
    assert _is_local(PoissonGaussian(0.1, 8.0, 10), by_epsilon)
    assert not _is_local(PoissonGaussian(0.1, 0.7, 10), by_epsilon)


def test_a_finding_is_one_line() -> None:
    assert Finding(Verdict.HOLDS, "masks", "x").line == "ok    masks      x"

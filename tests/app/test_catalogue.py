"""Every number of the catalogue is reached, means what its type means, and stands on the page."""

import importlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import catalogue
from app.catalogue import ENTRIES, Entry, exit_code_of, number_of, number_of_word
from app.config import RunConfig
from app.run_directory import RunDirectory
from arithmetic.errors import ChorusError, ConfigError, SetupError
from secagg.errors import Misbehaviour

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = (
    "app",
    "arithmetic",
    "clients",
    "paillier",
    "predictions",
    "privacy",
    "secagg",
    "strategies",
    "wire",
)
BY_NUMBER = {entry.number: entry for entry in ENTRIES}


def kinds() -> set[type[ChorusError]]:
    """Every error type of the tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "ChorusError" in (text := path.read_text()) or re.search(
                r"^class \w+\(\w*(Error|Refused)\):", text, re.M
            ):
                importlib.import_module(
                    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                )
    found, queue = set[type[ChorusError]](), [ChorusError]
    while queue:
        kind = queue.pop()
        if kind not in found:
            found.add(kind)
            queue += kind.__subclasses__()
    return {kind for kind in found if kind.__module__.partition(".")[0] in PACKAGES}


def test_every_type_has_a_line_of_its_own_and_every_line_a_type_that_is_there() -> None:
    """A new error type needs a number: add a line to `app/catalogue.py`, then write docs/errors.md anew."""
    there = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds()}
    told = [kind for entry in ENTRIES for kind in entry.kinds]
    assert sorted(told) == sorted(there)
    for entry in ENTRIES:
        for kind in entry.kinds:
            assert exit_code_of(number_of_word(there[kind].code)) == entry.exit_code, kind


def test_numbers_are_unique_and_have_the_letters_of_exit_codes() -> None:
    assert len(BY_NUMBER) == len(ENTRIES)
    assert all(re.fullmatch(r"CH-[CPEX]\d\d", number) for number in BY_NUMBER)
    assert [exit_code_of(f"CH-{letter}01") for letter in "CPEX"] == [2, 3, 4, 1]
    assert {number_of_word(word) for word in catalogue.WORDS} <= set(BY_NUMBER)
    assert number_of_word("NEWS") == number_of(ZeroDivisionError()) == "CH-X01"


def test_a_type_below_another_has_the_nearest_number() -> None:
    class Later(Misbehaviour):
        """Not in the table."""

    assert number_of(Later(1, "x")) == "CH-P08"


def test_the_page_is_the_table() -> None:
    """`.venv/bin/python -m app.catalogue > docs/errors.md` writes it."""
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == catalogue.page()


Reach = Callable[[Path], Any]


def _going(folder: Path) -> None:
    run = RunDirectory.create(folder, RunConfig())
    with run.at_work(run.log), run.at_work(run.log):
        pass


def _finished(folder: Path) -> None:
    from app.resuming import continued

    run = RunDirectory.create(folder, RunConfig())
    run.emit("run_finished", rounds=10)
    continued(run, {})


def _policy(folder: Path) -> None:
    from clients.policy import Policy

    (folder / "policy.toml").write_text("min-cohrt = 3")
    Policy.load(folder / "policy.toml")


def _strategy(_: Path) -> None:
    from flwr.serverapp.strategy import Krum

    from strategies.supported import check_supported

    check_supported(Krum())


def _leak(_: Path) -> None:
    from torch import nn

    from clients.leaks import _check_layers

    _check_layers(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def _table(folder: Path, text: str | None, column: str) -> None:
    from clients.analytics_table import Place, load

    if text is not None:
        (folder / "t.csv").write_text(text)
    load("t.csv", Place(str(folder)), [column], 0).numbers(column)


def _session(change: Callable[[Any], None]) -> Reach:
    """A server of three, to which something is done."""

    def reach(_: Path) -> None:
        from bench.session import Server
        from secagg.params import SecAggParams

        change(Server(SecAggParams.complete(3, 24, 5, 2)))

    return reach


def _twice(server: Any) -> None:
    from bench.session import Client

    reply = Client().answer(server.begin()[1])
    server.receive(1, reply)
    server.receive(1, reply)


def _refused(server: Any) -> None:
    from secagg.requests import Invitation

    data = bytearray(server.begin()[1])
    data[2 + 32 + 8 + 2 + 4 : 2 + 32 + 8 + 2 + 8] = bytes(4)  # a threshold of none
    Invitation.from_bytes(bytes(data))


def _bad_key(server: Any) -> None:
    from secagg.keys import PublicKeys
    from secagg.messages import KeysAdvertised

    server.receive(1, KeysAdvertised(PublicKeys(bytes(32), bytes(32))).to_bytes())


def _false_shares(_: Path) -> None:
    from bench.session import run_session
    from secagg.params import SecAggParams
    from secagg.server import r4_unmasking

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(r4_unmasking, "rebuild", lambda shares: bytes(32))
        run_session(SecAggParams.complete(3, 24, 5, 2), 0.0)


def _version(_: Path) -> None:
    from secagg.requests import Invitation

    Invitation.from_bytes(bytes([0x10, 99]))


def _suspect(_: Path) -> None:
    from app.deployment.attending import check_version

    check_version("1.40.0", "1.41.0")


def _stranger(_: Path) -> None:
    from secagg.primitives import SigningKey
    from secagg.roster import Member, Roster

    keys = [SigningKey(bytes([number]) * 32).public for number in (1, 2, 3)]
    Roster("r", 1, 0, tuple(Member(f"m-{at}", key) for at, key in enumerate(keys))).number_of(bytes(32))


def _incomplete(_: Path) -> None:
    from strategies.cohort import await_cohort
    from tests.support.local_grid import LocalGrid
    from tests.support.plain_app import app

    await_cohort(LocalGrid(app, 3, {}), 4, 0.0)


def _nothing(_: Path) -> None:
    from tests.support.run import Trial

    Trial({"drop": "5@r0:round1"}).start()


def _away(_: Path) -> None:
    from tests.strategies.test_link import Away, linked

    grid = Away()
    try:
        linked(grid, 0.3)[0].pull([])
    finally:
        grid.there.set()


def _cipher(value: int, own: bool = True) -> Reach:
    def reach(_: Path) -> None:
        from paillier.ciphertext import Ciphertext, decrypt
        from tests.paillier.made import pair_of, small_pair

        decrypt(small_pair() if own else pair_of(2048), Ciphertext.of(small_pair().public, value))

    return reach


def _hospital(_: Path) -> None:
    from paillier.ring.holder.r1_circulate import _check_all

    _check_all([2])


def _budget(_: Path) -> None:
    from privacy.ledger import Ledger
    from privacy.mechanisms import Budget, GaussianRelease

    Ledger.create(_ / "ledger.jsonl", "data")
    with Ledger.open(_ / "ledger.jsonl", "data") as ledger:
        ledger.check(GaussianRelease(0.5, 1, "client", 1e-20), budget=Budget(0.1, 1e-5))


def _ledger(kind: str) -> Reach:
    def reach(folder: Path) -> None:
        from privacy.ledger import Ledger

        path = folder / "ledger.jsonl"
        if kind != "missing":
            Ledger.create(path, "data")
        if kind == "damaged":
            path.write_bytes(path.read_bytes()[:-5])
        with Ledger.open(path, "other" if kind == "foreign" else "data"), Ledger.open(path, "data"):
            pass

    return reach


def _superlink(folder: Path) -> None:
    from app import superlink

    with pytest.MonkeyPatch.context() as patch, superlink.temporary_home(folder) as home:
        patch.setattr(superlink, "_spawn", lambda *_: subprocess.Popen(["false"]))
        superlink.start(home, folder / "log", {})


def _gpu(_: Path) -> None:
    from app import accelerators

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerators, "_listed_gpus", lambda: 0)
        accelerators.plan("cuda:0", 3)


def _port(_: Path) -> None:
    from app.deployment import probe

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        probe.connect("127.0.0.1", one.getsockname()[1])


def _transcript(folder: Path) -> None:
    from wire.transcript import Transcript

    (folder / "transcripts").touch()
    Transcript.open(folder / "transcripts" / "server-1.jsonl", None)


def _checkpoint(folder: Path) -> None:
    from app.checkpoint import Checkpoints

    run = RunDirectory.create(folder, RunConfig())
    run.checkpoints.mkdir()
    (run.checkpoints / "1.checkpoint").write_bytes(b"torn")
    Checkpoints(run, RunConfig())._read(1)


def _unstarted(folder: Path) -> None:
    from app.resuming import continued

    continued(RunDirectory.create(folder, RunConfig()), {})


def _lazily(module: str, name: str, *arguments: object) -> Reach:
    """Call `module.name`."""

    def reach(_: Path) -> None:
        target: Any = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
        target(*arguments)

    return reach


def _raised(name: str) -> Reach:
    """A contract that another package's tests fill: here its number alone."""

    def reach(_: Path) -> None:
        raise getattr(importlib.import_module("predictions.errors"), name)("x")

    return reach


REACHED: dict[str, Reach] = {
    "CH-C01": lambda _: RunConfig.parse({"learning-rat": 1}),
    "CH-C02": lambda _: RunConfig.parse({"rounds": True}),
    "CH-C03": lambda _: RunConfig.parse({"threshold": 99}),
    "CH-C04": _lazily("secagg.params", "SecAggParams.complete", 2, 24, 5, 2),
    "CH-C06": lambda folder: importlib.import_module("app.finding_runs").find_run("", folder),
    "CH-C07": _going,
    "CH-C08": _finished,
    "CH-C09": _lazily("clients.identity", "load_roster", Path("/nowhere"), "no hex"),
    "CH-C10": _lazily("wire.roster_file", "parse_roster", b"{}", bytes(32)),
    "CH-C11": _policy,
    "CH-C12": _strategy,
    "CH-C13": _leak,
    "CH-C14": lambda folder: _table(folder, "x\n1\n", "y"),
    "CH-C15": _raised("UnsupportedModel"),
    "CH-C16": lambda folder: importlib.import_module("app.stopping_runs").stop(
        RunDirectory.create(folder, RunConfig())
    ),
    "CH-P01": _session(_twice),
    "CH-P02": _lazily("secagg.requests", "Invitation.from_bytes", b"\x11\x02"),
    "CH-P03": _session(lambda server: (server.begin(), server.close())),
    "CH-P04": _version,
    "CH-P05": _suspect,
    "CH-P06": _session(_refused),
    "CH-P07": _stranger,
    "CH-P08": _session(_bad_key),
    "CH-P09": _false_shares,
    "CH-P10": lambda _: (
        importlib.import_module("arithmetic.fixed_point").ScalarEncoding(3, (0,)).encode([float("nan")])
    ),
    "CH-P11": _incomplete,
    "CH-P12": _nothing,
    "CH-P14": _cipher(0),
    "CH-P15": _cipher(5, own=False),
    "CH-P17": _hospital,
    "CH-P18": _budget,
    "CH-P19": lambda folder: _table(folder, "x\nno\n", "x"),
    "CH-P20": _raised("PredictionRange"),
    "CH-P21": _raised("LinkFailed"),
    "CH-P22": _raised("FrameRejected"),
    "CH-P23": _raised("AnswerRejected"),
    "CH-P24": _raised("QueryRefused"),
    "CH-P26": _raised("ModelRejected"),
    "CH-E01": lambda folder: RunDirectory.open(folder / "none"),
    "CH-E02": _superlink,
    "CH-E04": _gpu,
    "CH-E05": _port,
    "CH-E06": _away,
    "CH-E07": _transcript,
    "CH-E08": _checkpoint,
    "CH-E09": _unstarted,
    "CH-E10": _ledger("missing"),
    "CH-E11": _ledger("damaged"),
    "CH-E12": _ledger("foreign"),
    "CH-E13": _ledger("held"),
    "CH-E14": lambda folder: _table(folder, None, "x"),
}
# What takes a whole ring to reach is reached where the ring is tested.
ELSEWHERE = {
    "CH-P13": (
        "tests/strategies/test_paillier_ring.py",
        "test_a_hospital_that_is_shown_another_model_ends_the_round",
    ),
    "CH-P16": (
        "tests/paillier/ring/hospital/test_steps.py",
        "test_what_a_predecessor_seals_wrongly_is_refused",
    ),
}
# Without a type: what a command says of itself (below, and tests/app/commands/).
SAID = {"CH-C05", "CH-P25", "CH-E03", "CH-E15", "CH-E16", "CH-X01"}


def test_every_number_is_reached_by_a_test() -> None:
    assert sorted([*REACHED, *ELSEWHERE, *SAID]) == sorted(BY_NUMBER)
    for path, name in ELSEWHERE.values():
        assert f"def {name}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("number", REACHED)
def test_the_error_has_its_number(number: str, tmp_path: Path) -> None:
    with pytest.raises(ChorusError) as caught:
        REACHED[number](tmp_path)
    assert number_of(caught.value) == number
    assert "\n" not in str(caught.value)


_NO_ROOM = """
import app.launcher as launcher, sys
def full(request): raise OSError(28, "No space left on device")
launcher._directory, launcher.descendants, launcher.end_descendants = full, lambda pid: [1], lambda grace: [4711]
from app.cli import main
sys.argv = ["chorus", "run", "-c", "device=cpu"]
sys.exit(main())
"""


def test_a_full_disk_and_processes_that_stay_are_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_ROOM], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["CH-E03", "CH-E15"]
    assert "4711" in done.stderr


def test_a_failure_is_one_line_or_one_object() -> None:
    failure = catalogue.failure_of(ConfigError("clients = 2 is too few"))
    assert failure.line == "CH-C03  clients = 2 is too few"
    assert failure.document == '{"error": {"code": "CH-C03", "message": "clients = 2 is too few"}}'
    assert catalogue.failure_of(SetupError("x")).exit_code == 4
    ours = catalogue.failure_of(KeyError("inner"))
    assert (ours.number, ours.exit_code) == ("CH-X01", 1)
    assert "KeyError" in ours.message


def test_an_entry_knows_its_exit_code() -> None:
    assert Entry("CH-E77", (), "", "").exit_code == 4

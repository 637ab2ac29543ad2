"""`bench/memory.py` and the processes behind it: the same session as in one process, peaks of one process each."""

import json
import subprocess
import sys

import numpy as np

from bench.separate import SeparateClient, SeparateClients, SeparateServer, peak_megabytes
from bench.session import run_session
from secagg.params import SecAggParams
from tests.support.launched import ROOT


def test_a_quick_run_ends_with_one_object_a_line() -> None:
    command = [sys.executable, "-m", "bench.memory", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["unit"] for row in rows] == ["MB", "s", "MB", "MB", "s", "s"]
    assert all(row["ours"] > 0 and row["peer"] is None for row in rows)


def test_sides_in_processes_of_their_own_exchange_the_same_bytes() -> None:
    params = SecAggParams.complete(3, 24, 1000, 8)
    server, clients = SeparateServer(params), SeparateClients()
    apart, together = run_session(params, 0.0, server, clients), run_session(params, 0.0)
    assert (apart.up, apart.down) == (together.up, together.down)
    assert apart.server.core > 0
    assert apart.client.core > 0
    for side in (server, *clients.started):
        assert 10 < side.report.idle <= side.report.peak


def test_a_peak_is_the_process_s_own_and_never_its_parent_s() -> None:
    """A child started by a process that held 400 MB reports its own few."""
    held = np.ones(50_000_000)
    assert peak_megabytes() > held.nbytes / 1e6
    del held
    assert SeparateClient().report.peak < 200


def test_client_and_server_hold_less_than_two_vectors() -> None:
    """Memory over what the process is before any work; a vector is 40 MB here."""
    params = SecAggParams.complete(3, 24, 10_000_000, 8)
    server, clients = SeparateServer(params), SeparateClients()
    run_session(params, 0.0, server, clients)
    for side in (server, *clients.started):
        assert 60 < side.report.peak - side.report.idle < 80

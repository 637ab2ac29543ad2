"""Thousands of server rounds leave nothing behind; and what would be left behind is seen."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from bench.soak import Sample, family, rows, sample, settled, slope, steps


def grown(megabytes: float, count: int = 50) -> list[Sample]:
    return [Sample(10 * at, 50 + megabytes * at, 3, 7) for at in range(1, count + 1)]


def test_a_slope_is_told_in_megabytes_a_thousand_rounds() -> None:
    assert slope(grown(0.02)) == pytest.approx(2.0)
    warming = [Sample(10 * at, 500.0, 9, 9) for at in range(1, 11)] + grown(0, 51)[10:]
    assert slope(warming) == pytest.approx(0.0, abs=1e-9)
    assert [row.ours for row in rows("x", grown(0.02), "")] == pytest.approx([2.0, 51.0, 3, 7])


def test_a_sample_sees_memory_threads_and_files() -> None:
    own = [os.getpid()]
    before = sample(0, own)
    held, event = np.ones(4_000_000), threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    with open(os.devnull):
        after = sample(1, own)
    event.set()
    thread.join()
    assert after.megabytes > before.megabytes + held.nbytes / 1e6 / 2
    assert (after.threads, after.files) == (before.threads + 1, before.files + 1)


def test_a_family_is_a_process_and_what_it_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(family(os.getpid()))
        assert family(child.pid) == [child.pid]
    finally:
        child.kill()
        child.communicate()
    assert sample(1, [child.pid]) == Sample(1, 0.0, 0, 0)


def test_a_few_rounds_of_the_steps_leave_no_thread_and_no_file() -> None:
    before = sample(0, [os.getpid()])
    found = steps(40)
    assert [each.rounds for each in found] == list(range(1, 41))
    assert {each.files for each in settled(found)} == {before.files}
    assert found[-1].threads <= before.threads + 2


@pytest.mark.nightly
def test_ten_thousand_rounds_of_the_steps() -> None:
    found = steps(10_000)
    assert slope(found) < 1
    assert len({each.files for each in settled(found)}) == 1
    assert max(each.threads for each in settled(found)) <= min(each.threads for each in settled(found)) + 2

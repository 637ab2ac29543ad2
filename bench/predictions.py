"""Private predictions against CrypTen and secretflow-spu, in the same run.

    python -m bench.predictions [--case all|A|B|Bavg] [--no-peers] [--no-link] [--quick] [--json] [--save]

Decides: the cases (three networks by three batches), what stands beside each figure, and the same weights, inputs and
machine for all. Ours is what a user runs: three server processes and a client, TLS between all, tags, digests and
canaries. The peer of a row is the fastest of all kinds measured. One machine holds all parties.
Refuses to judge: it prints ratios, and no test looks at a time.

Peers get environments of their own in runs/peers, made once; one that does not install is named, and its rows have no
peer. The link of 20 ms and 100 Mbit/s is held for us (`bench.predictions_link`); for peers it is a computation from
what they sent and how often, said in the row.
"""

import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.predictions_link import BYTES_A_SECOND, DELAY, over_link, why_not
from bench.predictions_networks import NAMES, Case, case_of
from bench.predictions_ours import Timed, Traffic, prepared, servers, traffic
from bench.predictions_peers import Asked, Measured, measured
from bench.report import Row, finish, options_of
from predictions.owner import Prepared

_BATCHES = (1, 32, 128)
_OURS = {1: 30, 32: 15, 128: 8}
_PEERS = {1: 5, 32: 2, 128: 1}
_TARGETS = {("A", 1): 4, ("A", 32): 4, ("A", 128): 4, ("B", 1): 4, ("Bavg", 1): 4}
_MOST_ERROR = 0.002
Key = tuple[str, int]


def rows(options: Namespace) -> Iterator[Row]:
    """For each case: seconds with preparation, seconds online, error, bytes, exchanges, seconds over the link."""
    names = NAMES if options.case == "all" else (options.case,)
    batches = (1, 4) if options.quick else _BATCHES
    keys = [(name, batch) for name in names for batch in batches]
    cases = {name: case_of(name) for name in names}
    made = {name: prepared(case) for name, case in cases.items()}
    with tempfile.TemporaryDirectory(prefix="chorus-predictions-") as folder:
        for case in cases.values():
            case.write(Path(folder))
        _say("measuring peers, ours, ours over a slow link; figures come at the end")
        theirs = [] if options.no_peers else _peers(Path(folder), cases, keys, options.quick)
        whole, online = (_ours(Path(folder), cases, made, keys, ahead, options.quick) for ahead in (0, 1))
        linked = {} if options.no_link else _linked(Path(folder), keys)
    for key in keys:
        peers = [one for one in theirs if (one.network, one.batch) == key]
        moved = traffic(cases[key[0]], made[key[0]], key[1])
        yield from _rows(key, whole[key], online[key], moved, peers)
        yield from _link_rows(key, linked.get(key), peers)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _peers(folder: Path, cases: dict[str, Case], keys: list[Key], quick: bool) -> list[Measured]:
    repeats = {batch: 1 if quick else count for batch, count in _PEERS.items()}
    asked = [Asked(name, batch, repeats.get(batch, 1)) for name, batch in keys]
    return measured(folder, asked, {name: case.layers for name, case in cases.items()}, make=not quick)


def _ours(
    folder: Path, cases: dict[str, Case], made: dict[str, Prepared], keys: list[Key], ahead: int, quick: bool
) -> dict[Key, Timed]:
    found = {}
    with servers(folder / f"ahead-{ahead}", ahead) as running:
        for name, case in cases.items():
            running.take(made[name])
            for _, batch in (key for key in keys if key[0] == name):
                repeats = 2 if quick else _OURS[batch]
                found[name, batch] = running.ask(case, batch, repeats)
    return found


def _linked(folder: Path, keys: list[Key]) -> dict[Key, tuple[float, float]]:
    if reason := why_not():
        _say(f"no figures over a slow link: {reason}")
        return {}
    return over_link(folder, keys)


def _rows(key: Key, whole: Timed, online: Timed, moved: Traffic, peers: list[Measured]) -> Iterator[Row]:
    what = f"{key[0]}, batch of {key[1]}"
    best = min(peers, key=lambda peer: min(peer.seconds), default=None)
    seconds, error, sent, exchanges = (
        (None,) * 4 if best is None else (min(best.seconds), best.error, best.bytes / 1e6, best.exchanges)
    )
    others = "; ".join(f"{one.peer} {min(one.seconds):.3g}" for one in peers)
    note = f"median {median(whole.seconds):.3g}; target {_TARGETS.get(key, 5)}x; {others}"
    yield Row(f"{what}, preparation counted", min(whole.seconds), seconds, "s", note)
    note = f"median {median(online.seconds):.3g}; material was made ahead"
    yield Row(f"{what}, online alone", min(online.seconds), seconds, "s", note)
    note = f"limit {_MOST_ERROR}; largest logit {whole.largest:.3g}"
    yield Row(f"{what}, largest error of a logit", max(whole.error, online.error), error, "", note)
    parts = (moved.bytes, moved.corrections, whole.client_bytes)
    note = "between the online servers {:.3g}, helper {:.3g}, client {:.3g}".format(
        *(part / 1e6 for part in parts)
    )
    yield Row(f"{what}, sent by all", sum(parts) / 1e6, sent, "MB", note)
    yield Row(f"{what}, exchanges one after the other", moved.exchanges, exchanges, "")


def _link_rows(key: Key, ours: tuple[float, float] | None, peers: list[Measured]) -> Iterator[Row]:
    if ours is None:
        return
    computed = {one.peer: one.over(DELAY, BYTES_A_SECOND) for one in peers}
    best = min(computed, key=lambda name: computed[name], default=None)
    peer = None if best is None else computed[best]
    note = "" if best is None else f"peer computed: {best}, seconds here + {DELAY} s an exchange + its bytes"
    what = f"{key[0]}, batch of {key[1]}, {DELAY * 1000:.0f} ms and {BYTES_A_SECOND / 125_000:.0f} Mbit/s"
    yield Row(f"{what}, preparation counted", ours[0], peer, "s", note)
    yield Row(f"{what}, online alone", ours[1], peer, "s", note)


def main() -> None:
    """Measure."""
    parser = options_of("Private predictions against CrypTen and secretflow-spu.", case=("all", *NAMES))
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--no-link", action="store_true", help="nothing over a slow link")
    options = parser.parse_args()
    name = "predictions" if options.case == "all" else f"predictions-{options.case}"
    finish(name, rows(options), options)


if __name__ == "__main__":
    main()

"""The fault demonstration `drop`: which simulated clients vanish, and when.

`2@r2:round3` reads "two clients vanish at r2 of server round 3"; in the hospitals' ring the moments are join, reveal
and hop. This module decides the grammar
and who vanishes; it refuses to know how vanishing is done (the handler just never answers) and that
a protocol exists at all.

Who vanishes: within one server round the specs, in the order they are written, take clients from
partition id 0 upwards without overlap, so `1@r1:round2,2@r2:round2` takes partition 0 at r1 and
partitions 1 and 2 at r2. A client that vanished at a protocol round stays away for the rest of that
server round and is back in the next one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from arithmetic.errors import ConfigError, ParameterError

PROTOCOL_ROUNDS: Final = ("r0", "r1", "r2", "r3", "r4")
RING_STEPS: Final = ("join", "reveal", "hop")

_SPEC: Final = re.compile(r"([1-9]\d{0,5})@(r[0-4]|join|reveal|hop):round([1-9]\d{0,5})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Drop:
    """`count` clients vanish at `protocol_round` of `server_round` (1 is the first)."""

    count: int
    protocol_round: str
    server_round: int

    def __str__(self) -> str:
        return f"{self.count}@{self.protocol_round}:round{self.server_round}"


def parse_drops(text: str) -> tuple[Drop, ...]:
    """Read a comma list of `COUNT@r0|r1|r2|r3|r4|join|reveal|hop:roundN`; an empty text is no drop at all.

    Raises:
        ConfigError: a spec that does not read; the line names it and shows one that does.
    """
    return tuple(_parse(spec.strip()) for spec in text.split(",")) if text.strip() else ()


def _parse(spec: str) -> Drop:
    match = _SPEC.match(spec)
    if match is None:
        shown = spec[:60] if spec.isprintable() else ascii(spec)[:60]
        raise ConfigError(
            f'drop = "{shown}" cannot be used; it takes COUNT@r0|r1|r2|r3|r4:roundN, such as 2@r2:round3, or '
            "COUNT@join|reveal|hop:roundN in the ring"
        )
    return Drop(int(match[1]), match[2], int(match[3]))


def vanishes(drops: Iterable[Drop], partition_id: int, protocol_round: str, server_round: int) -> bool:
    """Whether a client is away at this protocol round.

    Args:
        drops: what `parse_drops` read, in order.
        partition_id: the simulated client, 0 and up.
        protocol_round: `r0`, `r1`, `r2`, `r3` or `r4`; `join`, `reveal` or `hop` in the ring.
        server_round: 1 and up.

    Raises:
        ParameterError: no such protocol round.
    """
    moments = RING_STEPS if protocol_round in RING_STEPS else PROTOCOL_ROUNDS
    if protocol_round not in moments:
        raise ParameterError(
            f"no protocol round {protocol_round!r}; one of {PROTOCOL_ROUNDS} or {RING_STEPS}"
        )
    first = 0
    for drop in drops:
        if drop.server_round != server_round:
            continue
        if first <= partition_id < first + drop.count:
            due = drop.protocol_round in moments
            return due and moments.index(protocol_round) >= moments.index(drop.protocol_round)
        first += drop.count
    return False

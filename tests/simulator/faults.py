"""What can go wrong in the simulator, and how often it does under one seed.

Decides: the kinds. A seed has some of them, drawn at random: many kinds at once hide each other (Groce et al., ISSTA
2012, 'swarm testing'). Refuses to know: what a fault does to whom (`network`, `client_node`, `server_node`).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """One kind; the second half changes what a message says, which only a peer or somebody on the wire does."""

    DROP = "dropped"
    DUPLICATE = "duplicated"
    REORDER = "reordered"
    STALE = "an old message comes once more"
    DELAY = "delayed past the deadline"
    CRASH_BEFORE = "client crashes before the step, its state is lost"
    CRASH_AFTER = "client crashes after the step, its reply and its state are lost"
    CRASH_UNSAVED = "client crashes within the step, its state is as before"
    CRASH_SERVER = "server crashes, its checkpoint is kept"
    PAUSE_CLIENT = "client pauses"
    PAUSE_SERVER = "server pauses"
    CLOCK = "wall clock jumps"
    DISK_CLIENT = "disk of a client fails"
    DISK_SERVER = "disk of the server fails"

    CORRUPT = "one byte corrupted"
    TRUNCATE = "truncated"
    CROSS = "another client's message in its place"
    REPLAY = "an earlier message in its place"


TAMPERING = (Fault.CORRUPT, Fault.TRUNCATE, Fault.CROSS, Fault.REPLAY)
BENIGN = tuple(fault for fault in Fault if fault not in TAMPERING)


@dataclass
class Weather:
    """How often faults strike, at each occasion for one.

    Attributes:
        kinds: of this seed.
        rate: probability that a given kind strikes at a given occasion.
        calm: nothing strikes.
        struck: how often each did.
    """

    chance: Random
    kinds: frozenset[Fault]
    rate: float
    calm: bool = False
    struck: dict[Fault, int] = field(default_factory=dict)

    def strikes(self, fault: Fault, rate: float = 0.0) -> bool:
        """Whether it does, now; with a rate of its own where occasions are rare."""
        if self.calm or fault not in self.kinds or self.chance.random() >= (rate or self.rate):
            return False
        self.struck[fault] = self.struck.get(fault, 0) + 1
        return True

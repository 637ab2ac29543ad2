"""One sum around the hospitals' ring, as its key holder: roll call, joins, reveals, one hop after the other.

Decides: whom a ring is opened with, and that a hospital that is away, fails, or answers with something that does not
check, dropped: the ring starts again without it, as long as enough are left.
Refuses to know: what the vector means, what is in a hop, and how an answer is waited for (`strategies.ring_course`).
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from flwr.app import ArrayRecord, ConfigRecord

from paillier.errors import HospitalDropped
from paillier.keys import PrivateKey
from paillier.packing import Packing
from paillier.ring import roll_call as rolls
from paillier.ring.holder.r0_open import open_ring, restart
from paillier.ring.holder.r1_circulate import circulate, pass_on, propose
from paillier.ring.holder.r2_total import finish_exactly
from paillier.ring.holder.states import AwaitingJoins, Circulating, Waiting
from paillier.ring.messages import HopRequested, HopSealed, Invitation, Joined, Restart, Revealed, SumHanded
from secagg.errors import CohortTooSmall, NotAuthentic
from secagg.roster import Roster
from strategies.course import Line
from strategies.ring_course import Account, RingCourse
from wire.ring import subject_of
from wire.rounds import Purpose, RingStep

Answer = TypeVar("Answer")


@dataclass
class RingDriver(Line):
    """Drives rings through `grid`.

    Attributes:
        roster: the federation's.
        private: of the key that hospitals add under; used on totals alone.
        least: fewest hospitals whose sum is opened.
        numbers: node id -> number in the roster, as roll calls gave it.
    """

    roster: Roster = field(kw_only=True)
    private: PrivateKey = field(kw_only=True, repr=False)
    least: int = field(kw_only=True)
    numbers: dict[int, int] = field(default_factory=dict, kw_only=True)

    def run(
        self,
        packing: Packing,
        nodes: Iterable[int],
        model: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
    ) -> tuple[list[int], Account]:
        """The exact sum over everybody who stayed, and what it cost.

        Args:
            packing: of every vector.
            nodes: Flower node ids asked to take part.
            model: the packed global model.
            config: the training configuration, the same for every hospital.
            server_round: from 1.
            purpose: what is summed.

        Raises:
            CohortTooSmall: too few hospitals are left; nothing was opened.
            RingEnded: a hospital refused what it was shown.
            RangeError: what was opened is no sum.
        """
        course = RingCourse(self, model, config, server_round, purpose)
        ring = _Ring(course, self.private, self._called(course, list(nodes)))
        self._check_left(len(ring.nodes))
        opening: Invitation | Restart
        state, opening = open_ring(
            self.roster, ring.nodes, server_round, subject_of(model, config), self.private.public, packing,
            os.urandom,
        )  # fmt: skip
        while True:
            try:
                return ring.held(state, opening), course.account
            except HospitalDropped as error:
                state, opening = self._again(course, ring, state, error)

    def _called(self, course: RingCourse, nodes: list[int]) -> dict[int, int]:
        """Member -> its node; who was not known yet is asked."""
        call = rolls.RollCall(os.urandom(rolls.CHALLENGE_BYTES))

        def take(node: int, message: bytes) -> None:
            present = rolls.Present.from_bytes(message)
            rolls.check_present(self.roster, call, present)
            if present.member in self.numbers.values():
                raise NotAuthentic(f"member {present.member} of the roster answers on another node")
            self.numbers[node] = present.member

        asked = [node for node in nodes if node not in self.numbers]
        if asked:
            course.ask(RingStep.ROLL_CALL, dict.fromkeys(asked, call.to_bytes()), take)
        return {self.numbers[node]: node for node in nodes if node in self.numbers}

    def _again(
        self, course: RingCourse, ring: "_Ring", state: AwaitingJoins, error: HospitalDropped
    ) -> tuple[AwaitingJoins, Restart]:
        """A ring without those who dropped, if enough are left."""
        waiting: Waiting = ring.circulating or state
        left = len(state.terms.members) - len(error.dropped)
        self.emit(
            "ring_restarted", server_round=course.server_round, purpose=course.purpose, left=left,
            dropped=sorted(ring.nodes[member] for member in error.dropped),
        )  # fmt: skip
        self._check_left(left)
        return restart(waiting, error.dropped, os.urandom)

    def _check_left(self, count: int) -> None:
        if count < self.least:
            raise CohortTooSmall("are in the ring", count, self.least)


@dataclass
class _Ring:
    """The rings of one server round, one after the other.

    Attributes:
        nodes: member -> its node.
        circulating: where the sum of the last ring was; None where it did not get that far.
    """

    course: RingCourse
    private: PrivateKey
    nodes: dict[int, int]
    circulating: Circulating | None = None

    def held(self, state: AwaitingJoins, opening: Invitation | Restart) -> list[int]:
        """One ring, from invitation to total.

        Raises:
            HospitalDropped: names who is to be skipped.
        """
        terms, self.circulating = state.terms, None
        self.course.opened(terms.session)
        joined = self._ask(RingStep.JOIN, terms.members, opening.to_bytes(), Joined.from_bytes)
        revealing, proposed = propose(state, joined)
        revealed = self._ask(RingStep.REVEAL, terms.members, proposed.to_bytes(), Revealed.from_bytes)
        current, request = circulate(revealing, revealed)
        self.circulating = current
        while not current.is_last:
            current, request = self._hop(current, request, self._passed_on)
            self.circulating = current
        return self._hop(current, request, self._total)

    def _hop(
        self, state: Circulating, request: HopRequested, parse: Callable[[Circulating, bytes], Answer]
    ) -> Answer:
        """Ask the one whose turn it is."""
        found = self._ask(RingStep.HOP, (state.turn,), request.to_bytes(), lambda data: parse(state, data))
        if state.turn not in found:
            raise HospitalDropped([state.turn])
        return found[state.turn]

    @staticmethod
    def _passed_on(state: Circulating, data: bytes) -> tuple[Circulating, HopRequested]:
        return pass_on(state, HopSealed.from_bytes(data, state.terms))

    def _total(self, state: Circulating, data: bytes) -> list[int]:
        return finish_exactly(state, SumHanded.from_bytes(data, state.terms), self.private)

    def _ask(
        self, step: RingStep, members: Iterable[int], message: bytes, parse: Callable[[bytes], Answer]
    ) -> dict[int, Answer]:
        """Member -> its answer, where it gave one that checks."""
        member_at = {self.nodes[member]: member for member in members}
        found = self.course.ask(step, dict.fromkeys(member_at, message), lambda _, data: parse(data))
        return {member_at[node]: answer for node, answer in found.items()}

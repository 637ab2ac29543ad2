"""The first online server: it decides which lot a query uses, and begins it with the second.

Decides: when the server has served what it was started for. Refuses to know: weights, inputs and answers.
"""

from dataclasses import dataclass

from arithmetic.errors import ChorusError
from predictions.costs import cost_of
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.errors import QueryRefused
from predictions.frames import NO_QUERY, Kind
from predictions.lanes import Lanes
from predictions.link import Link
from predictions.messages import Ask, Begin
from predictions.online_server import Counts, Model, OnlineServer, is_client
from predictions.pool import Pool
from predictions.program import Answer
from predictions.server import Place
from predictions.sharing import Part
from predictions.stock import Stock
from predictions.supply import Supply


@dataclass(frozen=True)
class Work:
    """How the first server works.

    Args:
        requests: queries after which it ends; 0: none.
        ahead: lots made ahead for each kind of answer and size of batch that was asked.
        most_bytes: that lots made ahead may take at the second server.
    """

    requests: int = 0
    ahead: int = 1
    most_bytes: int = 256 << 20


class FirstServer(OnlineServer):
    """P1."""

    number = 1

    def __init__(self, place: Place, work: Work) -> None:
        super().__init__(place)
        self._work = work
        self._lanes = Lanes(lambda: place.connect(SECOND), place.patience)
        self._supply: Supply | None = None
        self._stock: Stock | None = None

    def install(self, part: Part) -> None:
        """Take a part, and an epoch of its own with the helper."""
        super().install(part)
        if self._supply is not None:
            self._supply.close()
        pool = Pool(self._work.most_bytes)
        supply = Supply(
            lambda: self.place.connect(HELPER), part.sharing.identifier, pool, lambda order: 0, self._say
        )

        def size(answer: Answer, rows: int) -> int:
            return cost_of(part.sharing.program, rows, answer).material

        self._stock = Stock(pool, supply.order, size, self._work.ahead, self._work.most_bytes)
        self._supply = supply

    def attend(self, link: Link) -> None:
        """Serve a client."""
        if not is_client(link.peer):
            raise QueryRefused(f"{FIRST} serves clients; this link is of {link.peer}")
        self.attend_client(link)

    def serve_query(self, client: Link, query: bytes, ask: Ask, model: Model, counts: Counts) -> None:
        """Take a lane and a lot, begin the query at the second server, and do this server's half."""
        if self._stock is None:
            raise QueryRefused("no model is shared yet; ask its owner")
        with self._lanes.one() as lane:
            epoch, number, lot = self._stock.take(ask.answer, ask.rows, self.place.patience)
            lane.send(Kind.BEGIN, Begin(epoch, number, client.peer, ask).to_bytes(), query)
            self.answer(client, query, ask, model, lot, lane, counts)

    def after_query(self, ask: Ask, answered: int) -> None:
        """Order what the next query of this kind will need, or end."""
        if self._work.requests and answered >= self._work.requests:
            self._say(f"served {self._work.requests} requests")
            self.ending.set()
        elif self._stock is not None:
            try:
                self._stock.refill(ask.answer, ask.rows)
            except ChorusError as error:
                self._say(error.line)

    def finish(self) -> None:
        """Let running queries end, then tell the others."""
        super().finish()
        try:
            if self._supply is not None and self._work.requests:
                self._supply.bye()
                with self._lanes.one() as lane:
                    lane.send(Kind.BYE, b"", NO_QUERY)
        except ChorusError as error:
            self._say(error.line)
        if self._supply is not None:
            self._supply.close()
        self._lanes.close()

    def _say(self, line: str) -> None:
        self.place.say(f"{FIRST}: {line}")

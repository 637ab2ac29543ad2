"""The second online server: takes up the queries that the first begins, with corrections of the helper's.

Decides: that a query is answered only where the first server and the client say the same of it. Refuses to know:
weights, inputs and answers.
"""

from typing import Final

from arithmetic.errors import ChorusError
from predictions.costs import cost_of
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.errors import FrameRejected, QueryRefused
from predictions.frames import Kind
from predictions.lanes import Meeting, Meetings
from predictions.link import FOREVER, Link
from predictions.messages import Ask, Begin, Order
from predictions.online_server import Counts, Model, OnlineServer, is_client
from predictions.pool import Pool
from predictions.server import Place
from predictions.sharing import Part
from predictions.supply import Supply

_ROOM: Final = 2  # lots that queries wait for come on top of those made ahead


class SecondServer(OnlineServer):
    """P2.

    Args:
        place: where it runs.
        most_bytes: as the first server's; twice as much is the most that lots may take here.
        follows: whether it ends when the first server has served all requests.
    """

    number = 2

    def __init__(self, place: Place, most_bytes: int, *, follows: bool = False) -> None:
        super().__init__(place)
        self._most_bytes, self._follows = most_bytes, follows
        self._meetings = Meetings(place.patience)
        self._pool = Pool(_ROOM * most_bytes)
        self._supply: Supply | None = None

    def install(self, part: Part) -> None:
        """Take a part, and an epoch of its own with the helper."""
        super().install(part)
        if self._supply is not None:
            self._supply.close()
        self.drop_links(FIRST)
        self._pool = Pool(_ROOM * self._most_bytes)
        program, most = part.sharing.program, _ROOM * self._most_bytes

        def size(order: Order) -> int:
            needed = cost_of(program, order.rows, order.answer).material
            if needed > most:
                raise FrameRejected(
                    f"a lot of {needed} bytes came, and {most} is the most here; it is not taken"
                )
            return needed

        self._supply = Supply(
            lambda: self.place.connect(HELPER), part.sharing.identifier, self._pool, size, self._say
        )

    def attend(self, link: Link) -> None:
        """Serve a client, or a lane of the first server."""
        if is_client(link.peer):
            self.attend_client(link)
        elif link.peer == FIRST:
            self._attend_lane(link)
        else:
            raise QueryRefused(f"{SECOND} serves clients and {FIRST}; this link is of {link.peer}")

    def serve_query(self, client: Link, query: bytes, ask: Ask, model: Model, counts: Counts) -> None:
        """Meet the first server's half, and do this server's in the client's thread, over the lane."""
        meeting = self._meetings.find(query, client, ask)
        try:
            begin = meeting.begin
            self._pool.join(begin.epoch, self.place.patience)
            lot = self._pool.take(begin.epoch, begin.number, self.place.patience)
            self.answer(client, query, ask, model, lot, meeting.lane, counts)
        except ChorusError as error:
            meeting.lane.fail(error)
            meeting.lane.close()
            raise
        finally:
            meeting.over.set()

    def finish(self) -> None:
        """Let running queries end."""
        super().finish()
        if self._supply is not None:
            self._supply.close()

    def _attend_lane(self, lane: Link) -> None:
        while True:
            frame = lane.receive({Kind.BEGIN: (Begin.BYTES, Begin.BYTES), Kind.BYE: (0, 0)}, patience=FOREVER)
            if frame.kind is Kind.BYE:
                if self._follows:
                    self.ending.set()
                continue
            begin = Begin.from_bytes(frame.payload)
            try:
                self._meetings.offer(frame.query, Meeting(begin, lane))
            except ChorusError:
                self._pool.burn(begin.number)
                raise

    def _say(self, line: str) -> None:
        self.place.say(f"{SECOND}: {line}")

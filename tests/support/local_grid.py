"""A Flower grid in one process: real messages, a real ClientApp, no Ray, no SuperLink.

Every request, every reply and every client's context goes through Flower's own serialisation, both ways, so
types are what a wire gives and nothing is shared by reference. All bytes that reach the server are kept.
"""

import threading
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import context_from_proto, context_to_proto
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import InflatableObject, get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Tamper = Callable[[Message], Message | None]


def same_message(message: Message) -> Message:
    """A `Tamper` that does nothing."""
    return message


def serialised(value: InflatableObject) -> dict[str, bytes]:
    """Object id -> bytes, as Flower stores and sends them."""
    return {key: part.deflate() for key, part in get_all_nested_objects(value).items()}


def content_size(message: Message) -> int:
    """Bytes of a message's content on the wire, without Flower's metadata."""
    return sum(map(len, serialised(message.content).values()))


class LocalGrid(Grid):
    """`nodes` clients with partition ids 0.., answering at once when messages are pushed.

    Attributes:
        received: every reply as the server sees it.
        wire: every byte string that reached the server, in order.
        sent: every request as the client sees it.
        before: may change or swallow a request on its way to a client (None: the client never sees it).
        after: may change or swallow a reply on its way to the server.
        injected: handed out by the next pull, asked for or not.
    """

    def __init__(self, app: ClientApp, nodes: int, run_config: Mapping[str, object]) -> None:
        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        self.app = app
        self.ids = [1001 + 7 * at for at in range(nodes)]
        self.contexts = {node: _context(node, at, nodes, run_config) for at, node in enumerate(self.ids)}
        self.online = set(self.ids)
        self.received: list[Message] = []
        self.wire: list[bytes] = []
        self.sent: list[Message] = []
        self.before: Tamper = same_message
        self.after: Tamper = same_message
        self.injected: list[Message] = []
        self._replies: dict[str, Message] = {}
        self._counter = 0
        self._one_at_a_time = threading.Lock()

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return sorted(self.online)

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=node) for node in self.get_node_ids()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        with self._one_at_a_time:
            return self._pushed(messages)

    def _pushed(self, messages: Iterable[Message]) -> list[str]:
        identifiers = []
        for message in messages:
            self._counter += 1
            identifier = f"message-{self._counter}"
            message.metadata.__dict__["_message_id"] = identifier
            identifiers.append(identifier)
            reply = self._exchange(message) if message.metadata.dst_node_id in self.online else None
            if reply is not None:
                self._replies[identifier] = reply
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        injected, self.injected = self.injected, []
        return [*injected, *(self._replies.pop(key) for key in list(message_ids) if key in self._replies)]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))

    def ask(self, node: int, message: Message) -> Message:
        """What the client behind `node` answers to a message, outside any session of the server."""
        context = context_from_proto(context_to_proto(self.contexts[node]))
        try:
            reply = self.app(message, context)
        except Exception as error:  # noqa: BLE001 - as Flower's own runtime does it
            reply = Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        self.contexts[node] = context_from_proto(context_to_proto(context))
        return reply

    def _exchange(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        delivered = self.before(_inflated(serialised(message), message))
        if delivered is None:
            return None
        self.sent.append(delivered)
        changed = self.after(self.ask(node, delivered))
        if changed is None:
            return None
        parts = serialised(changed)
        self.wire += parts.values()
        reply = _inflated(parts, changed)
        self.received.append(reply)
        return reply


def _context(node: int, at: int, nodes: int, run_config: Mapping[str, object]) -> Context:
    place = {"partition-id": at, "num-partitions": nodes}
    return Context(1, node, place, RecordDict(), dict(run_config))  # type: ignore[arg-type]


def _inflated(parts: dict[str, bytes], message: Message) -> Message:
    copy = inflate_object_from_contents(message.object_id, dict(parts))
    assert isinstance(copy, Message)
    copy.metadata.__dict__["_message_id"] = message.metadata.message_id
    return copy

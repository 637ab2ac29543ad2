"""The ClientApp: each protocol round, and each step of the ring, is its own Flower action.

Decides: which handler answers which action. Refuses to know: what they do. Importing this module imports
no torch; only r1 and the ring's reveal do.
"""

from flwr.clientapp import ClientApp

from clients import handlers, ring
from wire.rounds import ProtocolRound, RingStep

app = ClientApp()
app.train(ProtocolRound.ADVERTISE_KEYS.action)(handlers.advertise_keys)
app.train(ProtocolRound.SHARE_KEYS.action)(handlers.share_keys)
app.train(ProtocolRound.MASKED_INPUT.action)(handlers.masked_input)
app.train(ProtocolRound.CONSISTENCY_CHECK.action)(handlers.consistency_check)
app.train(ProtocolRound.UNMASKING.action)(handlers.unmasking)
app.train(RingStep.ROLL_CALL.action)(ring.roll_call)
app.train(RingStep.JOIN.action)(ring.join)
app.train(RingStep.REVEAL.action)(ring.reveal)
app.train(RingStep.HOP.action)(ring.hop)
for register in (app.train, app.evaluate, app.query):
    register()(handlers.refuse)

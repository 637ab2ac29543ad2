"""The ClientApp: each protocol round is its own Flower action.

Decides: which handler answers which action. Refuses to know: what they do. Importing this module imports
no torch; only r1 does.
"""

from flwr.clientapp import ClientApp

from clients import handlers
from wire.rounds import ProtocolRound

app = ClientApp()
app.train(ProtocolRound.ADVERTISE_KEYS.action)(handlers.advertise_keys)
app.train(ProtocolRound.SHARE_KEYS.action)(handlers.share_keys)
app.train(ProtocolRound.MASKED_INPUT.action)(handlers.masked_input)
app.train(ProtocolRound.CONSISTENCY_CHECK.action)(handlers.consistency_check)
app.train(ProtocolRound.UNMASKING.action)(handlers.unmasking)
for register in (app.train, app.evaluate, app.query):
    register()(handlers.refuse)

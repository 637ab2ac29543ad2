"""What can go wrong with private predictions, as types.

ChorusError
  UnsupportedModel   CONFIG   a layer that cannot be converted, named; nothing has left the owner
  PredictionRange    RANGE    a model or an input outside the range that fixed point was proven for
  ModelRejected      FORMAT   a model file or a program that is torn, hostile, or breaks the contract
  LinkFailed         STATE    a server that is gone or was cut off; the material of the query is burnt
  FrameRejected      FORMAT   a frame that is truncated, oversize, replayed, out of turn or badly tagged
  AnswerRejected     CRYPTO   servers that disagree, or a canary that came back wrong: no prediction is given
  QueryRefused       POLICY   quota, rate limit, or a kind of answer the owner does not allow

This module decides the types; it knows nothing of sockets and protocols.
"""

from arithmetic.errors import ChorusError


class UnsupportedModel(ChorusError):
    """The model has a layer, or a use of one, that private predictions do not know; the message names it."""

    code = "CONFIG"


class PredictionRange(ChorusError):
    """Fixed point was not proven for this model or this input; nothing was computed."""

    code = "RANGE"


class ModelRejected(ChorusError):
    """A model file or a program that cannot be accepted; the message says what is wrong with it."""

    code = "FORMAT"
    shareable = True


class LinkFailed(ChorusError):
    """A server is gone or was cut off; the query failed and its material is burnt."""

    code = "STATE"
    shareable = True


class FrameRejected(ChorusError):
    """A frame that cannot be accepted: truncated, oversize, replayed, out of turn, or with a wrong tag."""

    code = "FORMAT"
    shareable = True


class AnswerRejected(ChorusError):
    """An answer that is not to be believed; no prediction is given."""

    code = "CRYPTO"


class QueryRefused(ChorusError):
    """The owner's limits refuse this query."""

    code = "POLICY"
    shareable = True

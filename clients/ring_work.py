"""The vector that a hospital adds: the same work as under masks, of the lengths that the ring's terms give.

Decides: that the packing is the one that the vector needs, and that the node's policy is asked before its task is
imported. Refuses to know: the ring's messages, and training (`clients.work`). It imports torch.
"""

from flwr.app import Context

from clients.local_log import LocalLog
from clients.policy import Policy
from clients.steps import node_of
from clients.tasks import load_task
from clients.updates import spec_of
from clients.work import work
from paillier.ring.terms import Terms
from privacy.terms import PrivacyMode
from secagg.errors import Refused, SuspectServer
from secagg.params import SecAggParams
from wire import kept_state
from wire.records import Arrays
from wire.ring import MODULUS_BITS, packing_of
from wire.rounds import Purpose
from wire.scalars import ScalarLayout
from wire.settings import Assignment


def vector_of(
    arrays: Arrays, assignment: Assignment, context: Context, terms: Terms, server_round: int
) -> bytes:
    """Evaluate and, in a training session, train; both parts of the vector as 64-bit residues.

    Args:
        arrays: the global model.
        assignment: the training configuration.
        context: of the client; the model's layout is remembered in its state.
        terms: of the ring.
        server_round: from 1.

    Raises:
        Refused: the node's policy does not allow it, or the run asks for differential privacy.
        SuspectServer: the terms' packing is not the vector's.
        ChorusError: as `clients.work.work`.
    """
    policy = Policy.of_node(context.node_config)
    policy.check_job("ring")
    policy.check_terms(assignment.terms)
    if assignment.terms.mode is not PrivacyMode.NONE:
        raise Refused("the ring adds no noise; sum under masks (job = train) for differential privacy")
    policy.check_task(assignment.task)
    params = _params(assignment, terms)
    node = node_of(context, policy)
    done = work(arrays, assignment, node, params, server_round)
    kept_state.keep_layout(context.state, done.layout)
    LocalLog.of(context.run_config, context.node_config, node.simulated).trained(
        assignment.purpose, server_round, done.device, done.examples, done.notes
    )
    return done.vector.tensor.tobytes() + done.vector.scalars.tobytes()


def _params(assignment: Assignment, terms: Terms) -> SecAggParams:
    """The parameters of a masked session of the same vector, of which `work` reads cohort, modulus and lengths."""
    task, purpose = load_task(assignment.task), Purpose(assignment.purpose)
    spec = spec_of(task.model(assignment.seed))
    tensor = spec.tensor_length if purpose is Purpose.TRAINING else 0
    scalars = ScalarLayout.of(purpose, task.metric_names, spec.integer_length).length
    parties = terms.packing.parties
    if terms.packing != packing_of(tensor + scalars, parties, terms.public.bits):
        raise SuspectServer("the ring's packing is not that of this model's vector; nothing was added")
    return SecAggParams.complete(parties, MODULUS_BITS, tensor, scalars)

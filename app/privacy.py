"""Differential privacy of a run, seen from the top: from the configuration to terms, from ledgers to sentences.

Decides: which noise multiplier a target epsilon becomes, by what public constant a noisy sum is multiplied, and what is
printed at the end: one sentence a guarantee, for the client that spent most.
Refuses to know: how noise is drawn (`clients.private`) and how a sum is decoded (`strategies.decoding`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from app.config import RunConfig, defaults
from arithmetic.errors import ConfigError
from privacy.accounting import noise_multiplier_for, rdp_epsilon
from privacy.guarantee import Guarantee, guarantee_of
from privacy.ledger import charges_of
from privacy.mechanisms import GaussianRelease, Mechanism, PoissonGaussian, Unit, check_delta
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams
from wire.noise import BIT_NOISE, LEAST_MODULUS_BITS, plans_of, releases_of

SAFETY = 1 - 1e-6  # the integers' slack, and what floats lose, never push a run over its own target
_UNITS: tuple[Unit, ...] = ("example", "client")


def terms_of(config: RunConfig) -> PrivacyTerms:
    """What the run asks of its clients.

    Raises:
        ConfigError: both a target and a multiplier are given, or a number that the mode needs is missing.
        ParameterError: no noise multiplier reaches the target.
    """
    mode = PrivacyMode(config.privacy)
    if config.stop_epsilon and not (mode.shares_noise and config.job != "analytics"):
        raise ConfigError(
            f"stop-epsilon = {config.stop_epsilon:g} cannot be used with privacy = {mode} and job = {config.job}, of "
            "which the server keeps no account from round to round; it is for distributed, client and local+client, "
            "and a node's policy has a budget of its own"
        )
    if config.job == "analytics":
        _check_analytics(config, mode)
        return PrivacyTerms()  # the job's own: what is asked decides them
    _check(config, mode)
    if mode is PrivacyMode.NONE:
        return PrivacyTerms()
    example, client = config.noise_multiplier, config.client_noise_multiplier
    if config.epsilon and mode is PrivacyMode.DISTRIBUTED:
        template = PoissonGaussian(config.sampling_probability, 1.0, config.rounds)
        example = noise_multiplier_for(config.epsilon * SAFETY, config.delta, template)
    if config.epsilon and mode.hides_clients:
        client = noise_multiplier_for(
            config.epsilon * SAFETY, config.delta, GaussianRelease(1.0, config.rounds)
        )
        if config.clipping_quantile:
            client *= math.hypot(1.0, 1.0 / BIT_NOISE)
    return PrivacyTerms(
        mode=mode,
        noise_multiplier=example,
        clipping_norm=config.clipping_norm,
        sampling_probability=config.sampling_probability,
        client_noise_multiplier=client,
        client_clipping_norm=config.client_clipping_norm,
        clipping_quantile=config.clipping_quantile,
        colluders=config.colluders,
        epsilon=config.epsilon,
        delta=config.delta,
        rounds=config.rounds,
    )


_EXAMPLE = frozenset({"noise-multiplier", "clipping-norm"})
_CLIENT = frozenset({"client-noise-multiplier", "client-clipping-norm", "clipping-quantile"})
_KEYS: Mapping[PrivacyMode, frozenset[str]] = {
    PrivacyMode.NONE: frozenset(),
    PrivacyMode.LOCAL: _EXAMPLE,
    PrivacyMode.DISTRIBUTED: _EXAMPLE | {"sampling-probability", "expected-batch"},
    PrivacyMode.CLIENT: _CLIENT,
    PrivacyMode.LOCAL_CLIENT: _EXAMPLE | _CLIENT,
}


def _check(config: RunConfig, mode: PrivacyMode) -> None:
    """Refuse what would be silently ignored, or missing."""
    table, standard = config.table(), defaults()
    used = _KEYS[mode] | ({"epsilon", "delta"} if mode is not PrivacyMode.NONE else frozenset())
    for key in sorted(frozenset().union(*_KEYS.values(), {"epsilon", "delta"}) - used):
        if table[key] != standard[key]:
            raise ConfigError(
                f"{key} = {table[key]} does nothing with privacy = {mode}; choose the mode it is for"
            )
    if config.epsilon and (config.noise_multiplier or config.client_noise_multiplier):
        raise ConfigError("epsilon sets the noise multipliers; give one of them and not the other")
    if mode is PrivacyMode.DISTRIBUTED and not (config.sampling_probability and config.expected_batch):
        raise ConfigError(
            "privacy = distributed needs sampling-probability (of an example, a step) and expected-batch (public: what "
            "the summed gradient is divided by; about the probability times all examples)"
        )
    if mode.hides_clients:
        check_delta(config.delta, config.clients)
    if not config.epsilon:
        for key in sorted(_KEYS[mode] & {"noise-multiplier", "client-noise-multiplier"}):
            if not table[key]:
                raise ConfigError(f"privacy = {mode} needs {key}, or epsilon as a target for the whole run")


def _check_analytics(config: RunConfig, mode: PrivacyMode) -> None:
    """Sums over rows come with noise for a row, in shares, or with none."""
    if mode not in (PrivacyMode.NONE, PrivacyMode.DISTRIBUTED):
        raise ConfigError(
            f"privacy = {mode} cannot be used with job = analytics; it takes none, or distributed (a row of a table is "
            "hidden)"
        )
    table, standard = config.table(), defaults()
    used = {"noise-multiplier", "epsilon", "delta"} if mode is PrivacyMode.DISTRIBUTED else set()
    for key in sorted(frozenset().union(*_KEYS.values(), {"epsilon", "delta"}) - used):
        if table[key] != standard[key]:
            raise ConfigError(f"{key} = {table[key]} does nothing with job = analytics and privacy = {mode}")
    if used and bool(config.epsilon) == bool(config.noise_multiplier):
        raise ConfigError(
            "job = analytics with privacy = distributed needs epsilon or noise-multiplier, one of them"
        )


def update_per_sum(config: RunConfig) -> float:
    """What a noisy sum is multiplied by: a public constant, whoever took part."""
    if config.job == "analytics":
        return 0.0
    if PrivacyMode(config.privacy) is PrivacyMode.DISTRIBUTED:
        # Of job gradients the mean gradient itself; the step along it is post-processing, the owner's own.
        return (1.0 if config.job == "gradients" else -config.learning_rate) / config.expected_batch
    return 1.0 / config.clients


def modulus_bits(config: RunConfig) -> int:
    """Noise needs room: at least 2^32 where the sum carries it."""
    shares = PrivacyMode(config.privacy).shares_noise
    return max(config.modulus_bits, LEAST_MODULUS_BITS) if shares else config.modulus_bits


def planned(config: RunConfig, terms: PrivacyTerms, params: SecAggParams) -> list[str]:
    """What the whole run will have cost a client that takes part in every server round: sentences.

    Of `local` the server cannot say it: each client's own number of examples decides.

    Args:
        config: the run's.
        terms: `terms_of` it.
        params: of each session.

    Raises:
        ParameterError: modulus, survivors and noise cannot work together.
    """
    said = []
    if terms.mode.is_local:
        kept = (
            terms.epsilon and terms.rounds <= config.rounds
        )  # more than that were asked of a run that was resumed
        target = f"at most {terms.epsilon:g} by RDP" if kept else "as each client's ledger says"
        said.append(f"example-level, against everyone, by each client's own account: epsilon {target}")
    if terms.mode.shares_noise:
        releases = releases_of(terms, *plans_of(terms, params, config.max_examples), terms.rounds)
        for unit in dict.fromkeys(each.unit for each in releases):
            mine = [each for each in releases if each.unit == unit]
            said += [_guarantee(mine, config.delta, config.job).sentence]
    return said


def too_dear(config: RunConfig, terms: PrivacyTerms, params: SecAggParams) -> Callable[[int], str]:
    """For a number of server rounds, why `stop-epsilon` does not allow so many; "" where it does.

    Args:
        config: the run's.
        terms: `terms_of` it.
        params: of each session.
    """
    if not config.stop_epsilon:
        return lambda sessions: ""
    plans = plans_of(terms, params, config.max_examples)

    def judged(sessions: int) -> str:
        releases = releases_of(terms, *plans, sessions)
        for unit in dict.fromkeys(each.unit for each in releases):
            epsilon = rdp_epsilon([each for each in releases if each.unit == unit], config.delta)
            if epsilon > config.stop_epsilon:
                return (
                    f"one more server round would bring the {unit}-level guarantee to epsilon {epsilon:.4f} by RDP, "
                    f"above stop-epsilon = {config.stop_epsilon:g}"
                )
        return ""

    return judged


def guarantees(ledgers: Iterable[Path], delta: float, job: str = "train") -> list[Guarantee]:
    """For each unit the guarantee of the client that spent most, from the ledgers alone.

    Args:
        ledgers: of one client each.
        delta: of the guarantee.
        job: that the ledgers are of: what its sums are of.

    Raises:
        LedgerError: a ledger is missing or damaged.
    """
    charged = [charges_of(path) for path in ledgers]
    found = []
    for unit in _UNITS:
        mine = {tuple(each for each in all_ if each.unit == unit) for all_ in charged}
        candidates = [_guarantee(mechanisms, delta, job) for mechanisms in mine if mechanisms]
        if candidates:
            found.append(max(candidates, key=lambda each: each.pld_epsilon))
    return found


def _guarantee(mechanisms: Sequence[Mechanism], delta: float, job: str) -> Guarantee:
    """One client's guarantee for one unit; noise is in shares exactly where it is an integer, with a slack."""
    updates = any(isinstance(each, GaussianRelease) for each in mechanisms)
    released = "clipped rows" if job == "analytics" else f"clipped {'updates' if updates else 'gradients'}"
    shared = [each.colluders for each in mechanisms if each.slack]
    return guarantee_of(
        mechanisms,
        delta,
        released=f"sums of {released}",
        colluders=min(shared) if shared else None,
        integer_noise=len(shared) == len(mechanisms),
    )


def closing_lines(config: RunConfig, folder: Path) -> list[str]:
    """What a simulated run with privacy says at its end; `folder` holds the clients' ledgers."""
    paths = sorted(folder.glob("*.jsonl"))
    return [
        f"privacy: {each.sentence}; the most that any of {len(paths)} clients spent"
        for each in guarantees(paths, config.delta, config.job)
    ]

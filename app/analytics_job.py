"""The job `analytics`: from a query file to answers, by sessions that sum and nothing else.

Decides: the noise that a target epsilon becomes, and what is written. Refuses to know: how a session goes
(`strategies.analytics`), what a statistic needs (`app.statistics`), and how clients answer.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from flwr.serverapp import Grid

from app import answers
from app.config import RunConfig
from app.privacy import SAFETY, planned
from app.query import Query
from app.query_file import load
from app.run_directory import RunDirectory
from app.survey import Survey
from arithmetic.errors import ConfigError
from privacy.accounting import noise_multiplier_for
from privacy.mechanisms import PoissonGaussian
from privacy.terms import PrivacyMode, PrivacyTerms
from strategies.analytics import Analytics
from strategies.chronicle import Chronicle
from strategies.settings import Settings
from wire.questions import Question

_NOISY_BITS: Final = 48  # of a residue: room for the rows of many clients on a fine scale


def run(
    grid: Grid, config: RunConfig, settings: Settings, directory: RunDirectory, chronicle: Chronicle
) -> None:
    """Ask everything, write the answers and say so.

    Args:
        grid: Flower's.
        config: checked; `query` names the file.
        settings: how sessions are run; what is asked in the way of noise is added here.
        directory: of the run.
        chronicle: of the server's transcript.

    Raises:
        ChorusError: the query cannot be used, or a session gave no sum.
    """
    started = time.monotonic()
    query = load(Path(config.query))
    noisy = config.privacy != "none"
    survey = Survey(query, noisy)
    question = survey.question
    if noisy:
        terms = terms_of(config, survey.norm)
        settings = replace(settings, privacy=terms, modulus_bits=_NOISY_BITS)
    analytics = Analytics(grid, settings, config.data_path, config.seed, directory.emit, chronicle)
    _announce(directory, config, query, analytics, question)
    clients: list[int] = []
    while question is not None:
        sums = analytics.ask(question)
        clients.append(sums.clients)
        survey.take(sums.values)
        question = survey.question
    facts: dict[str, object] = {
        "table": query.table, "min_count": query.min_count, "asked": config.clients,
        "clients": [min(clients), max(clients)],
        "sessions": len(clients), "privacy": config.privacy,
    }  # fmt: skip
    answers.write(directory.path, survey.answers, facts)
    if not config.run_dir:  # without the launcher, which shows them itself
        print(*answers.lines(directory.path / answers.FILE), sep="\n", flush=True)
    directory.emit(
        "run_finished", job="analytics", sessions=len(clients), clients=[min(clients), max(clients)],
        seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip


def terms_of(config: RunConfig, norm: float) -> PrivacyTerms:
    """Example-level terms of the one session that all noisy statistics share.

    Args:
        config: `privacy` is `distributed`, with epsilon or noise-multiplier.
        norm: most that one row adds to the sums, in L2.

    Raises:
        ParameterError: no noise multiplier reaches the target, or the numbers are none.
    """
    noise = config.noise_multiplier
    if config.epsilon:
        noise = noise_multiplier_for(config.epsilon * SAFETY, config.delta, PoissonGaussian(1.0, 1.0, 1))
    return PrivacyTerms(
        PrivacyMode.DISTRIBUTED, noise_multiplier=noise, clipping_norm=norm, sampling_probability=1.0,
        colluders=config.colluders, epsilon=config.epsilon, delta=config.delta, rounds=1,
    )  # fmt: skip


def _announce(
    directory: RunDirectory, config: RunConfig, query: Query, analytics: Analytics, question: Question | None
) -> None:
    if question is None:
        raise ConfigError("the query asks nothing")
    params = analytics.params(question)
    directory.emit(
        "run_started", run=directory.id, job="analytics", table=query.table, statistics=len(query.statistics),
        clients=config.clients, groups=config.groups, threshold=params.threshold, neighbours=params.neighbours,
        adversary=params.adversary,
    )  # fmt: skip
    if analytics.private:
        sentences = planned(config, analytics.terms, params)
        directory.emit("privacy_planned", mode=config.privacy, sentences=sentences)

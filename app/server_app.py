"""The ServerApp: composition root of the server's side.

Decides: how a checked run configuration becomes model, inner strategy, sessions and a run directory, or goes on in one
that is there; and that a failed run raises, since raising is the only way Flower reports a failure.
Refuses to know: the protocol (`strategies`), training (`clients`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result

from app import analytics_job
from app.announcing import announce
from app.catalogue import number_of
from app.checkpoint import Checkpoints
from app.config import RunConfig, defaults
from app.early_end import check_patience, hear_again, how_it_ended, stopping_of
from app.inner_strategy import inner_strategy
from app.privacy import modulus_bits, planned, terms_of, update_per_sum
from app.resuming import continued
from app.ring_keys import RING
from app.run_directory import RunDirectory
from app.tallies import seconds_an_iteration
from app.versions import versions
from arithmetic.errors import ChorusError, ConfigError
from arithmetic.layout import VectorSpec
from clients.identity import load_roster
from clients.tasks import DataSource, Task, load_task
from privacy.terms import PrivacyMode
from secagg.roster import Roster
from strategies.chronicle import Chronicle
from strategies.secure_aggregation import SecureAggregation
from strategies.settings import Deadlines, Settings
from strategies.stopping import Stopping
from wire.transcript import Transcript

app = ServerApp()

CentralTest = Callable[[int, ArrayRecord], MetricRecord | None]


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole job, or what is left of it; raises a one-line error when it failed."""
    asked = RunConfig.parse(context.run_config)
    try:
        directory = _directory(asked)
        with directory.at_work(directory.events), _pages_written(directory, asked):
            config = _resumed(directory, asked) if asked.resume else asked
            with Transcript.open(directory.transcript(context.run_id), None) as transcript:
                chronicle = Chronicle(str(context.run_id), transcript.append)
                with _failure_told(directory):
                    if config.job == "analytics":
                        analytics_job.run(grid, config, settings_of(config), directory, chronicle)
                    else:
                        _run(grid, config, directory, chronicle)
    except ChorusError as error:
        raise RuntimeError(error.line) from None


def _run(grid: Grid, config: RunConfig, directory: RunDirectory, chronicle: Chronicle) -> None:
    """Training, and its last word."""
    started = time.monotonic()
    result, rounds, stopping = _train(grid, config, directory, chronicle)
    last = stopping.last_of(config.rounds)
    final = result.evaluate_metrics_clientapp.get(last, MetricRecord())
    central = result.evaluate_metrics_serverapp.get(last, MetricRecord())
    directory.emit(
        "run_finished",
        accuracy=final.get("accuracy"),
        loss=final.get("loss"),
        central_accuracy=central.get("accuracy"),
        central_loss=central.get("loss"),
        rounds=config.rounds,
        rounds_aggregated=rounds,
        **how_it_ended(config, stopping),
        seconds=round(time.monotonic() - started, 3),
        **(
            {"seconds_an_iteration": seconds_an_iteration(directory.metrics)}
            if config.job == "gradients"
            else {}
        ),
    )


@contextmanager
def _pages_written(directory: RunDirectory, asked: RunConfig) -> Iterator[None]:
    """Without the launcher, which writes them itself, the server's own process writes the pages for people."""
    try:
        yield
    finally:
        if not asked.run_dir:
            from app.report.files import at_the_end  # jinja2, accountants: only where they are needed

            at_the_end(directory)


@contextmanager
def _failure_told(directory: RunDirectory) -> Iterator[None]:
    """The last word of a job that failed."""
    try:
        yield
    except ChorusError as error:
        directory.emit("run_failed", code=error.code, number=number_of(error), reason=str(error))
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: see superlink.log"
        directory.emit("run_failed", code="ENV", number=number_of(error), reason=reason)
        raise


def _train(
    grid: Grid, config: RunConfig, directory: RunDirectory, chronicle: Chronicle
) -> tuple[Result, int, Stopping]:
    """The federated run; the final model is saved, whatever the final evaluation says.

    Returns:
        Flower's result, how many server rounds gave a model, and whether the run ended early.
    """
    from clients.gradients import check_trained
    from clients.updates import arrays_of, spec_of

    task = load_task(config.task)
    model = task.model(config.seed)
    spec, settings = spec_of(model), settings_of(config)
    if config.job == "gradients":
        check_trained(model, spec)
    if config.privacy != "none" and spec.integer_length:
        raise ConfigError(
            f"privacy = {config.privacy} cannot sum the integer buffers of this model; use GroupNorm, not BatchNorm"
        )
    make: Callable[..., SecureAggregation] = SecureAggregation
    if config.job == RING:
        from app.ring_job import ring  # big integers: this job only

        settings, make = ring(settings, config.paillier_bits, directory.emit)
    params = settings.params(settings.group_size, spec.tensor_length, 0)
    inner = inner_strategy(config, settings.groups * settings.least)
    checkpoints = Checkpoints(directory, config)
    stopping = stopping_of(config, settings, params)
    strategy = make(
        inner, spec, settings, task.metric_names, directory.emit, keep=checkpoints.keep, chronicle=chronicle,
        stopping=stopping,
    )  # fmt: skip
    arrays, terms = arrays_of(model), settings.privacy
    facts: dict[str, object] = {
        "run": directory.id, "job": config.job, "task": config.task, "strategy": named(config),
        "clients": config.clients, "groups": config.groups, "threshold": params.threshold,
        "neighbours": params.neighbours,
        "modulus_bits": params.modulus_bits, "parameters": spec.tensor_length, "rounds": config.rounds,
        "adversary": params.adversary, "roster": settings.roster.fingerprint if settings.roster else "",
        "versions": versions(),
    }  # fmt: skip
    if config.resume:
        snapshot = checkpoints.latest()
        spec.check(snapshot.model, "model of the checkpoint")
        strategy.restore(snapshot)
        hear_again(stopping, directory.metrics, snapshot.server_round)
        # A lost server round counts, too: the clients may have released what they were charged for.
        again = strategy.asked - snapshot.server_round
        arrays, terms = dict(snapshot.model), replace(terms, rounds=terms.rounds + again)
        facts |= {"server_round": snapshot.server_round, "repeated": again}
    directory.emit("run_resumed" if config.resume else "run_started", **facts)
    if terms.mode is not PrivacyMode.NONE:
        directory.emit("privacy_planned", mode=terms.mode, sentences=planned(config, terms, params))
    announce(directory.emit, config, settings, spec, task.metric_names, arrays)
    initial = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    central = central_test(task, config, spec) if config.central_test else None
    check_patience(config, central is not None)
    try:
        result = strategy.start(
            grid, initial, config.rounds, train_config=training_record(config), evaluate_fn=central
        )
    finally:
        checkpoints.retry()
    directory.save_model({name: array.numpy() for name, array in result.arrays.items()})
    last = stopping.last_of(config.rounds)
    if central and stopping.ended and last not in result.evaluate_metrics_serverapp:
        with suppress(ChorusError):  # a model that cannot be judged is worth keeping
            found = central(config.rounds, result.arrays)  # the last model of a run is always judged
            result.evaluate_metrics_serverapp |= {} if found is None else {last: found}
    return result, len(strategy.aggregated), stopping


def named(config: RunConfig) -> str:
    """What turns sums into models, for people."""
    return f"gradients with {config.optimizer}" if config.job == "gradients" else config.strategy


def settings_of(config: RunConfig) -> Settings:
    """The part of a run configuration that concerns sessions."""
    return Settings(
        cohort=config.clients,
        groups=config.groups,
        groups_at_once=config.groups_at_once,
        threshold=config.threshold,
        neighbours=config.neighbours,
        corrupt_fraction=config.corrupt_fraction,
        dropout_fraction=config.dropout_fraction,
        min_cohort=config.min_cohort,
        colluders=config.colluders,
        roster=roster_of(config),
        modulus_bits=modulus_bits(config),
        privacy=terms_of(config),
        update_per_sum=update_per_sum(config) if config.privacy != "none" else 0.0,
        encoding_bound=config.encoding_bound,
        max_examples=largest_weight(config),
        cohort_deadline=config.cohort_deadline,
        deadlines=Deadlines(config.training_deadline, config.round_deadline, config.poll_interval),
    )


def largest_weight(config: RunConfig) -> int:
    """What a client weighs at most: of job gradients a batch, so that no bit of the encoding is left unused."""
    is_batch = config.job == "gradients" and config.privacy == "none"
    return min(config.max_examples, config.batch_size) if is_batch else config.max_examples


def roster_of(config: RunConfig) -> Roster | None:
    """The federation's members, where the run is against an active server.

    Raises:
        ConfigError, NotAuthentic: `adversary` is active, or the job is the ring, and there is no roster, or none that
            can be used.
    """
    if config.roster:
        roster = load_roster(Path(config.roster).absolute(), config.roster_authority)
        roster.check_time(time.time())
        return roster
    if config.adversary == "active" or config.job == RING:
        asks = "job = ring" if config.job == RING else "adversary = active"
        raise ConfigError(
            f"{asks} needs the keys roster and roster-authority (docs/deployment.md); scripts/run makes "
            "its own for simulated clients"
        )
    return None


def training_record(config: RunConfig) -> ConfigRecord:
    """The part of a run configuration that travels to the clients (`wire.settings.Assignment`)."""
    keys = (
        "job", "task", "partition", "dirichlet-alpha", "validation-fraction", "data-path", "device", "seed",
        "evaluate-every", "local-epochs", "batch-size", "learning-rate", "momentum", "proximal-mu", "rounding",
    )  # fmt: skip
    table = config.table()
    return ConfigRecord({key: table[key] for key in keys})


def central_test(task: Task, config: RunConfig, spec: VectorSpec) -> CentralTest | None:
    """Judge the global model on the task's public test set; None where there is none."""
    import torch

    from clients.training import evaluate
    from clients.updates import load_arrays

    data = task.test_data(DataSource(data_path=config.data_path))
    if data is None:
        return None
    model = task.model(config.seed)

    def judge(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        if server_round % config.evaluate_every and server_round != config.rounds:
            return None
        load_arrays(model, spec.conform({name: array.numpy() for name, array in arrays.items()}))
        found = evaluate(task, model, data, torch.device("cpu"))
        means = {name: total / found.examples for name, total in found.metric_sums.items()}
        return MetricRecord({"loss": found.loss_sum / found.examples, **means})

    return judge


def _directory(config: RunConfig) -> RunDirectory:
    """The run's that is resumed, the launcher's, or a new one below the working directory for a plain `flwr run`."""
    if config.resume:
        directory = RunDirectory(Path(config.resume).absolute())
        directory.recorded()  # before anything is written there
        return directory
    if config.run_dir:
        return RunDirectory.open(Path(config.run_dir))
    return RunDirectory.create(Path.cwd() / "runs", config)


def _resumed(directory: RunDirectory, asked: RunConfig) -> RunConfig:
    """The configuration the run goes on with: its own, changed by whatever was asked that is no default."""
    standard = defaults()
    config = continued(
        directory, {key: value for key, value in asked.table().items() if value != standard[key]}
    )
    directory.record(config)
    return config

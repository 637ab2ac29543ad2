"""The keys of a run: every one with its default, its range and what it is for.

Decides which keys exist (the table `[tool.flwr.app.config]` of pyproject.toml repeats the defaults, a test keeps the
two equal) and which values they take.
Refuses to know how a configuration is read, what a user is told when it cannot be used (`app.config`), and what a
key does.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0)]
Multiplier = Annotated[float, Field(ge=0.0, le=1_000_000.0)]


def kebab(name: str) -> str:
    """`local_epochs` as it is written: `local-epochs`."""
    return name.replace("_", "-")


class RunKeys(BaseModel):
    """All keys, written in kebab case: `local_epochs` is `local-epochs`."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=kebab,
        populate_by_name=True,
    )

    job: Literal["train", "gradients", "analytics", "ring"] = Field(
        default="train",
        description="what the masked sums are for: a mean model, mean gradients (docs/gradients.md), answers about "
        "tables (docs/analytics.md), or a ring of hospitals instead (docs/paillier.md)",
    )
    query: str = Field(
        default="", description="file on the server that says what is asked of tables (analytics)"
    )
    task: str = Field(default="digits", description="data and model: a built-in task or a dotted module path")
    strategy: Literal["fedavg", "fedprox", "fedadam", "fedavgm", "fedyogi", "fedadagrad"] = Field(
        default="fedavg", description="Flower strategy that turns the cohort's mean into the next model"
    )
    clients: int = Field(default=10, ge=3, le=100_000, description="cohort to wait for")
    rounds: int = Field(default=10, ge=1, le=100_000, description="server rounds")
    local_epochs: int = Field(
        default=2, ge=1, le=1_000, description="passes over a client's data a server round"
    )
    batch_size: int = Field(default=32, ge=1, le=1_000_000, description="examples a training step")
    learning_rate: float = Field(default=0.1, gt=0.0, le=100.0, description="of a client's SGD")
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="of a client's SGD")
    proximal_mu: float = Field(
        default=0.0, ge=0.0, le=1_000_000.0, description="pull to the global model (fedprox)"
    )
    server_learning_rate: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="server's step (fedavgm, fedopt, gradients); 0 is the strategy's or the optimizer's own",
    )
    server_momentum: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="server's momentum (fedavgm; gradients: sgd, rmsprop)"
    )
    optimizer: Literal["sgd", "adam", "adagrad", "rmsprop"] = Field(
        default="sgd", description="what the owner's server does with the mean gradient (gradients)"
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="judged models in a row without a lower loss after which the run ends; 0 is never",
    )
    stop_epsilon: Multiplier = Field(
        default=0.0,
        description="end the run before a guarantee that the server accounts for passes it; 0 is never",
    )
    evaluate_every: int = Field(
        default=1, ge=1, le=100_000, description="server rounds between two models that are judged"
    )
    partition: Literal["iid", "dirichlet"] = Field(
        default="iid", description="how examples are dealt to simulated clients"
    )
    dirichlet_alpha: float = Field(
        default=0.5, gt=0.0, le=1_000_000.0, description="evenness of the labels (dirichlet)"
    )
    validation_fraction: float = Field(
        default=0.2, gt=0.0, lt=1.0, description="of a client's examples, kept to judge models"
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="of data split, initial model and training order; never of a mask",
    )
    device: str = Field(default="auto", description="where clients train: auto, cpu, cuda, cuda:N or mps")
    data_path: str = Field(default="", description="folder of the data; a node's own data-path wins")
    threshold: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="survivors that unmask; 0 is two thirds of a group + 1",
    )
    groups: int = Field(
        default=1, ge=1, le=33_333, description="sessions a server round is split into, side by side"
    )
    groups_at_once: int = Field(
        default=0, ge=0, le=33_333, description="of them that run side by side; 0 is four a core"
    )
    neighbours: int = Field(default=0, ge=0, le=99_999, description="of each client; 0 is everybody")
    corrupt_fraction: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="of a group that may collude; derives a sparse graph"
    )
    dropout_fraction: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="of a group that may vanish; derives a sparse graph"
    )
    adversary: Literal["curious", "active"] = Field(
        default="curious",
        description="what the server may be; active needs a roster, or a simulation",
    )
    roster: str = Field(
        default="", description="file of the roster on the server; with it adversary is active"
    )
    roster_authority: str = Field(
        default="", description="public key of whoever signs the roster, 64 hex digits"
    )
    modulus_bits: int = Field(default=24, ge=8, le=64, description="of a residue of the masked vector")
    encoding_bound: float = Field(
        default=1.0, gt=0.0, le=1_000_000.0, description="first clamp of an update's coordinate"
    )
    max_examples: int = Field(
        default=10_000,
        ge=1,
        le=2**31,
        description="largest weight of a client; more is clamped, counted",
    )
    rounding: Literal["stochastic", "nearest"] = Field(
        default="stochastic",
        description="of an update's coordinate: unbiased, or the same in every run (not with privacy)",
    )
    paillier_bits: int = Field(
        default=3072,
        ge=2048,
        le=16384,
        description="of the key holder's modulus, an even number (job = ring)",
    )
    min_cohort: int = Field(
        default=3, ge=3, le=100_000, description="fewest survivors of a group whose sum is unmasked"
    )
    cohort_deadline: Seconds = Field(default=120.0, description="seconds to wait for the whole cohort")
    training_deadline: Seconds = Field(default=600.0, description="seconds of r1, which trains")
    round_deadline: Seconds = Field(default=20.0, description="seconds of r0, r2 and r4 each")
    poll_interval: float = Field(
        default=0.2, ge=0.01, le=10.0, description="seconds between looks for replies"
    )
    privacy: Literal["none", "local", "distributed", "client", "local+client"] = Field(
        default="none", description="differential privacy: unit and adversary (docs/privacy.md)"
    )
    epsilon: Multiplier = Field(
        default=0.0,
        description="target of the whole run; sets the noise multiplier; 0 is as the multipliers say",
    )
    delta: float = Field(default=1e-5, gt=0.0, lt=1.0, description="of the guarantee; at most 1 / (10 N)")
    noise_multiplier: Multiplier = Field(
        default=0.0, description="noise of a step over clipping-norm (local, distributed)"
    )
    clipping_norm: Multiplier = Field(
        default=1.0, description="of an example's gradient (local, distributed)"
    )
    sampling_probability: float = Field(
        default=0.0, ge=0.0, le=1.0, description="with which an example joins a step (distributed)"
    )
    expected_batch: Multiplier = Field(
        default=0.0,
        description="public number of examples that a summed gradient is divided by (distributed)",
    )
    client_noise_multiplier: Multiplier = Field(
        default=0.0, description="noise of a server round over client-clipping-norm (client)"
    )
    client_clipping_norm: Multiplier = Field(default=1.0, description="of a client's whole update (client)")
    clipping_quantile: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="of updates that client-clipping-norm adapts to; 0 is fixed"
    )
    colluders: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="clients that may work with the server and learn nothing, nor weaken the noise",
    )
    central_test: bool = Field(default=True, description="judge each model on the task's public test set")
    drop: str = Field(default="", description="clients that vanish, to see recovery: 2@r2:round3,...")
    demonstration: bool = Field(
        default=False,
        description="write histograms of what one simulated client masks and of what the server receives of it",
    )
    run_dir: str = Field(default="", description="where the run is written; empty is runs/<id>")
    resume: str = Field(
        default="", description="directory of a run, on the server, that is to be continued (docs/resume.md)"
    )

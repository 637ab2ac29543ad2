"""Which keys belong to which job.

Decides: that a key which the job would silently ignore is refused, and a mode of privacy that would protect nothing of
what the job sends.
Refuses to know how a configuration is read (`app.config`) and what a job does.
"""

from typing import Final

from app.run_keys import RunKeys, kebab
from arithmetic.errors import ConfigError

_LOCAL: Final = ("strategy", "local_epochs", "learning_rate", "momentum", "proximal_mu")
_MOMENTUM: Final = ("sgd", "rmsprop")
_PRIVACY: Final = ("none", "distributed")


def check_job(config: RunKeys) -> None:
    """Refuse keys that do not go with the job.

    Raises:
        ConfigError: one line that names the key, the value and what to do.
    """
    if config.demonstration and config.job in ("analytics", "ring"):
        raise ConfigError(
            f"demonstration = true does nothing with job = {config.job}; it shows a masked update"
        )
    _check_end(config)
    if config.job == "gradients":
        _check_gradients(config)
    elif config.optimizer != _standard("optimizer"):
        raise ConfigError(
            f"optimizer = {config.optimizer} does nothing with job = {config.job}; choose strategy, or job = gradients"
        )


def _check_end(config: RunKeys) -> None:
    """What ends a run early must have something to go by."""
    if config.patience and config.job == "analytics":
        raise ConfigError(f"patience = {config.patience} does nothing with job = analytics")
    if config.patience and config.privacy != "none" and not config.central_test:
        raise ConfigError(
            f"patience = {config.patience} has no loss to go by: with privacy = {config.privacy} none leaves the "
            "clients; leave central-test on, or patience at 0"
        )


def _check_gradients(config: RunKeys) -> None:
    for name in _LOCAL:
        if getattr(config, name) != _standard(name):
            raise ConfigError(
                f"{kebab(name)} = {getattr(config, name)} does nothing with job = gradients, whose steps are the "
                "server's; choose optimizer, server-learning-rate and server-momentum"
            )
    if config.server_momentum and config.optimizer not in _MOMENTUM:
        raise ConfigError(
            f"server-momentum = {config.server_momentum} does nothing with optimizer = {config.optimizer}; it is for "
            f"{' and '.join(_MOMENTUM)}"
        )
    if config.privacy not in _PRIVACY:
        raise ConfigError(
            f"privacy = {config.privacy} protects a model that was trained locally, and job = gradients sends none; "
            "choose distributed, whose sums are of clipped gradients, or job = train"
        )


def _standard(name: str) -> object:
    return RunKeys.model_fields[name].default

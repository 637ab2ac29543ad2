"""From the configuration to terms, and from ledgers to sentences: no target is passed, nothing is silently ignored."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import server_app
from app.config import RunConfig
from app.privacy import closing_lines, guarantees, modulus_bits, planned, terms_of, update_per_sum
from arithmetic.errors import ConfigError, ParameterError
from privacy.accounting import noise_multiplier_for, rdp_epsilon
from privacy.errors import LedgerDamaged
from privacy.guarantee import ACCOUNTANT
from privacy.ledger import Ledger
from privacy.mechanisms import Budget, GaussianRelease, Mechanism, PoissonGaussian
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams
from strategies.chronicle import Chronicle
from tests.support.launched import ROOT, run
from tests.support.private_run import PRIVATE, ledger_path, private_trial
from wire.noise import sum_plan, within_norm_plan

REDERIVE = ROOT / "tests" / "privacy" / "rederive.py"
SAMPLED: dict[str, Any] = {"sampling-probability": 0.1, "expected-batch": 50.0}
NUMBERS: dict[str, dict[str, Any]] = {
    "local": {"noise-multiplier": 1.5},
    "distributed": {"noise-multiplier": 1.5} | SAMPLED,
    "client": {"client-noise-multiplier": 1.2},
    "local+client": {"noise-multiplier": 1.5, "client-noise-multiplier": 1.2},
}
USED = {
    "none": set[str](),
    "local": {"noise-multiplier", "clipping-norm"},
    "distributed": {
        "noise-multiplier",
        "clipping-norm",
        "sampling-probability",
        "expected-batch",
    },
    "client": {"client-noise-multiplier", "client-clipping-norm", "clipping-quantile"},
}
USED["local+client"] = USED["local"] | USED["client"]
OTHER: dict[str, Any] = {  # than the default
    "noise-multiplier": 1.0, "clipping-norm": 0.7, "sampling-probability": 0.1, "expected-batch": 50.0,
    "client-noise-multiplier": 1.0, "client-clipping-norm": 0.9, "clipping-quantile": 0.4,
    "epsilon": 2.0, "delta": 2e-6,
}  # fmt: skip
SENTENCE = re.compile(
    r"privacy: (example|client)-level differential privacy with epsilon ([\d.]+) by PLD \(([\d.]+) by RDP\) at delta "
    r"(\S+) under add/remove-one \1, against (.+), for (\d+) sums? of clipped (gradients|updates) with (.+) noise, "
    r"(.+); accountant: (.+); the most that any of (\d+) clients spent"
)
CURIOUS = "the server, as long as it keeps to the protocol"
PUBLIC = ", each client's number of examples being public"


def config(mode: str, **changes: Any) -> RunConfig:
    return RunConfig.parse({"privacy": mode, "delta": 1e-4} | changes)


def asked(mode: str, **changes: Any) -> RunConfig:
    """With every number that the mode needs."""
    return config(mode, **NUMBERS[mode] | {key.replace("_", "-"): value for key, value in changes.items()})


# ---- terms


def test_nothing_is_asked_without_privacy() -> None:
    assert terms_of(RunConfig()) == PrivacyTerms()


@pytest.mark.parametrize("mode", PRIVATE)
def test_every_number_reaches_the_terms(mode: str) -> None:
    named = {"clipping_norm", "client_clipping_norm", "clipping_quantile", "colluders"}
    changes = {key: OTHER[key.replace("_", "-")] for key in named if key.replace("_", "-") in USED[mode]}
    changes |= {"delta": 2e-5, "rounds": 17}
    found = terms_of(asked(mode, **changes))
    assert found.mode == PrivacyMode(mode)
    assert {name: getattr(found, name) for name in changes} == changes
    multipliers = {
        "noise-multiplier": found.noise_multiplier,
        "client-noise-multiplier": found.client_noise_multiplier,
    }
    assert {key: value for key, value in multipliers.items() if value} == {
        key: value for key, value in NUMBERS[mode].items() if "multiplier" in key
    }


@pytest.mark.parametrize("mode", PRIVATE)
def test_each_missing_number_is_named(mode: str) -> None:
    for missing in NUMBERS[mode]:
        numbers = {key: value for key, value in NUMBERS[mode].items() if key != missing}
        with pytest.raises(ConfigError, match=missing) as caught:
            terms_of(config(mode, **numbers))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", PRIVATE)
def test_a_target_and_a_multiplier_are_refused(mode: str) -> None:
    sampled = SAMPLED if mode == "distributed" else {}
    for key in USED[mode] & {"noise-multiplier", "client-noise-multiplier"}:
        with pytest.raises(ConfigError, match="give one of them and not the other"):
            terms_of(config(mode, **sampled | {"epsilon": 3.0, key: 1.0}))


@pytest.mark.parametrize("key", OTHER)
@pytest.mark.parametrize("mode", USED)
def test_a_key_that_the_mode_would_ignore_is_refused(mode: str, key: str) -> None:
    numbers = NUMBERS.get(mode, {}) | {"privacy": mode}
    default = RunConfig().table()[key]
    assert OTHER[key] != default
    if key in USED[mode] or (mode != "none" and key == "delta"):
        assert terms_of(RunConfig.parse(numbers | {key: OTHER[key]})) != PrivacyTerms()
    elif mode != "none" and key == "epsilon":
        numbers = {name: value for name, value in numbers.items() if "multiplier" not in name}
        assert terms_of(RunConfig.parse(numbers | {key: OTHER[key]})).epsilon == OTHER[key]
    else:
        with pytest.raises(ConfigError, match=f"{key} = .* does nothing with privacy = ") as caught:
            terms_of(RunConfig.parse(numbers | {key: OTHER[key]}))
        assert "\n" not in str(caught.value)
        assert terms_of(RunConfig.parse(numbers | {key: default})).mode == PrivacyMode(mode)


@pytest.mark.parametrize("mode", ["client", "local+client"])
def test_a_delta_that_gives_a_client_away_is_refused(mode: str) -> None:
    assert terms_of(asked(mode, clients=20, delta=1 / 200)).delta == 1 / 200
    with pytest.raises(ParameterError, match=r"1/\(10 N\) = 0.005"):
        terms_of(asked(mode, clients=20, delta=math.nextafter(1 / 200, 1)))
    assert (
        terms_of(asked("distributed", clients=20, delta=0.006)).delta == 0.006
    )  # each client's own to refuse


def test_a_target_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(ParameterError, match="no noise multiplier"):
        terms_of(config("client", epsilon=1e-6, rounds=100_000, delta=1e-9))


def whole_run(found: RunConfig, terms: PrivacyTerms) -> dict[str, list[Mechanism]]:
    """What the clients will have charged at the end of the run."""
    params = SecAggParams(10, 7, 9, 7, modulus_bits(found), 1000, 12)
    if terms.mode is PrivacyMode.DISTRIBUTED:
        plan = sum_plan(terms, params, 100)
        step = PoissonGaussian(terms.sampling_probability, plan.noise_multiplier, 1, plan.slack)
        return {"example": [step] * found.rounds}
    plan = sum_plan(terms, params, 100)
    releases: list[Mechanism] = [GaussianRelease(plan.noise_multiplier, 1, "client", plan.slack)]
    if terms.clipping_quantile:
        bit = within_norm_plan(terms, params)
        releases.append(GaussianRelease(bit.noise_multiplier, 1, "client", bit.slack))
    return {"client": releases * found.rounds}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["distributed", "client", "local+client"]), st.floats(0.05, 50.0), st.integers(1, 200),
    st.sampled_from([0.0, 0.5]), st.floats(0.001, 1.0), st.sampled_from([1e-4, 1e-5, 1e-9]), st.integers(0, 6),
)  # fmt: skip
def test_the_whole_run_keeps_to_its_target_and_wastes_little(
    mode: str, epsilon: float, rounds: int, quantile: float, probability: float, delta: float, colluders: int
) -> None:
    changes: dict[str, Any] = {"epsilon": epsilon, "rounds": rounds, "delta": delta, "colluders": colluders}
    changes |= SAMPLED | {"sampling-probability": probability} if mode == "distributed" else {}
    changes |= {"clipping-quantile": quantile} if quantile and "client" in mode else {}
    found = config(mode, **changes)
    terms = terms_of(found)
    for charged in whole_run(found, terms).values():
        spent = rdp_epsilon(charged, delta)
        assert spent <= epsilon
        # The least noise that is looked for is 2^-6; rounding to integers costs a thousandth at this size.
        least = min(terms.noise_multiplier or math.inf, terms.client_noise_multiplier or math.inf)
        assert spent > 0.99 * epsilon or least < 0.02


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 20.0), st.integers(1, 50), st.integers(20, 5000))
def test_a_local_target_is_kept_to_by_each_client(epsilon: float, rounds: int, examples: int) -> None:
    """The client finds its own multiplier, from its own sampling probability; epsilon goes on with the terms."""
    found = config("local", epsilon=epsilon, rounds=rounds)
    terms = terms_of(found)
    assert (terms.epsilon, terms.noise_multiplier, terms.rounds) == (epsilon, 0.0, rounds)
    steps = 2 * math.ceil(examples / 20)
    whole = PoissonGaussian(20 / examples, 1.0, steps * rounds)
    noise = noise_multiplier_for(terms.epsilon, terms.delta, whole)
    spent = rdp_epsilon([PoissonGaussian(20 / examples, noise, steps)] * rounds, terms.delta)
    assert spent <= epsilon * (1 + 1e-12)


# ---- what follows for the session


def test_a_noisy_sum_has_a_public_factor() -> None:
    found = asked("distributed", expected_batch=80.0, **{"learning-rate": 0.5})
    assert update_per_sum(found) == -0.5 / 80
    assert update_per_sum(asked("client", clients=20)) == 1 / 20


@pytest.mark.parametrize(("mode", "bits"), [("none", 24), ("local", 24), ("distributed", 32), ("client", 32)])
def test_noise_has_room(mode: str, bits: int) -> None:
    found = RunConfig() if mode == "none" else asked(mode)
    assert modulus_bits(found) == bits
    assert server_app.settings_of(found).modulus_bits == bits
    wide = RunConfig.parse(found.table() | {"modulus-bits": 48})
    assert modulus_bits(wide) == 48


@pytest.mark.parametrize("mode", PRIVATE)
def test_73_integer_buffers_do_not_start(mode: str) -> None:
    found = asked(mode, task="tests.support.tiny_task")
    with pytest.raises(ConfigError, match="GroupNorm, not BatchNorm"):
        server_app._train(None, found, None, Chronicle())  # type: ignore[arg-type]


# ---- sentences


def ledger(path: Path, *mechanisms: Mechanism) -> Path:
    Ledger.create(path, "data")
    with Ledger.open(path, "data") as file:
        for mechanism in mechanisms:
            file.charge(mechanism, "run", 1, Budget(1e6, 1e-5))
    return path


def test_the_client_that_spent_most_is_the_one_that_is_spoken_of(tmp_path: Path) -> None:
    paths = [
        ledger(tmp_path / f"{at}.jsonl", PoissonGaussian(q, 2.0, 20)) for at, q in enumerate((0.05, 0.2, 0.1))
    ]
    (found,) = guarantees(paths, asked("local").delta)
    assert found.rdp_epsilon == rdp_epsilon([PoissonGaussian(0.2, 2.0, 20)], 1e-4)
    assert (found.colluders, found.integer_noise) == (None, False)
    (line,) = closing_lines(asked("local"), tmp_path)
    assert line.endswith("; the most that any of 3 clients spent")


def test_two_units_are_two_sentences(tmp_path: Path) -> None:
    ledger(tmp_path / "0.jsonl", PoissonGaussian(0.1, 2.0, 5), GaussianRelease(3.0, 4, "client", 1e-20, 2))
    first, second = guarantees([tmp_path / "0.jsonl"], asked("local+client").delta)
    assert (first.unit, first.colluders, first.integer_noise) == ("example", None, False)
    assert (second.unit, second.colluders, second.integer_noise) == ("client", 2, True)
    assert (first.releases, second.releases) == (5, 4)
    assert len(closing_lines(asked("local+client"), tmp_path)) == 2


def test_the_least_colluders_of_all_shares_are_spoken_of(tmp_path: Path) -> None:
    """Whoever holds against three holds against one; noise of a client's own is in no shares."""
    several = [GaussianRelease(3.0, 1, "client", 1e-20, colluders) for colluders in (3, 1, 2)]
    (found,) = guarantees([ledger(tmp_path / "0.jsonl", *several)], 1e-4)
    assert found.colluders == 1
    assert f"against {CURIOUS}, and up to 1 colluding client, for 3 sums" in found.sentence
    mixed = [PoissonGaussian(0.5, 2.0, 1, 1e-20, 2), PoissonGaussian(0.5, 2.0, 1)]
    (found,) = guarantees([ledger(tmp_path / "1.jsonl", *mixed)], 1e-4)
    assert (found.colluders, found.integer_noise) == (2, False)


def test_a_damaged_ledger_is_no_sentence(tmp_path: Path) -> None:
    path = ledger(tmp_path / "0.jsonl", GaussianRelease(3.0, 4))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(LedgerDamaged):
        closing_lines(asked("client"), tmp_path)


def derived(paths: list[Path], delta: float) -> dict[str, tuple[float, float, int]]:
    """The most of each unit by the independent script: PLD, RDP, releases."""
    done = subprocess.run(
        [sys.executable, str(REDERIVE), *map(str, paths), "--delta", str(delta)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, tuple[float, float, int]] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        mine = row["epsilon_pld"], row["epsilon_rdp"], row["releases"]
        found[row["unit"]] = max(found.get(row["unit"], mine), mine)
    return found


def check_sentences(lines: list[str], paths: list[Path], mode: str, clients: int) -> None:
    """Each printed epsilon is the independent script's, rounded up."""
    printed = {}
    for line in lines:
        match = SENTENCE.fullmatch(line)
        assert match, line
        unit, pld, rdp, delta, against, releases, what, noise, sampling, accountant, spenders = match.groups()
        printed[unit] = (float(pld), float(rdp), int(releases))
        assert accountant == ACCOUNTANT
        assert int(spenders) == clients
        summed = unit == "client" or mode in ("distributed", "client")
        assert against == (CURIOUS if summed else "everyone, even all others together")
        assert noise.startswith("integer" if summed else "floating-point (not hardened")
        assert what == ("updates" if unit == "client" or mode == "client" else "gradients")
        assert sampling.endswith(PUBLIC) == (unit == "example")
    expected = derived(paths, float(delta))
    units = {"example"} if mode in ("local", "distributed") else {"example", "client"}
    assert printed.keys() == expected.keys() == units
    for unit, (pld, rdp, releases) in printed.items():
        assert releases == expected[unit][2]
        assert pld == pytest.approx(expected[unit][0], rel=2e-3, abs=2e-4)
        assert 0 <= rdp - expected[unit][1] < 1.1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mode", PRIVATE)
def test_every_printed_epsilon_is_derived_from_the_ledgers_alone(mode: str, tmp_path: Path) -> None:
    adaptive = {"clipping-quantile": 0.5} if mode == "client" else {}
    trial = private_trial(mode, tmp_path, {"rounds": 2} | adaptive)
    trial.start()
    paths = [ledger_path(tmp_path, partition) for partition in range(5)]
    check_sentences(closing_lines(trial.config, tmp_path / "ledgers"), paths, mode, 5)


def test_a_target_epsilon_is_what_a_run_prints(tmp_path: Path) -> None:
    trial = private_trial(
        "distributed",
        tmp_path,
        {"rounds": 3, "noise-multiplier": 0.0, "epsilon": 4.0, "expected-batch": 40.0},
    )
    trial.start()
    (line,) = closing_lines(trial.config, tmp_path / "ledgers")
    match = SENTENCE.fullmatch(line)
    assert match
    assert 3.95 < float(match[3]) <= 4.0
    assert float(match[2]) <= float(match[3])


@pytest.mark.simulation
def test_a_real_run_prints_the_epsilon_of_its_ledgers(tmp_path: Path) -> None:
    settings_ = ["rounds=2", "privacy=distributed", "task=digits_hog", "delta=1e-4", "epsilon=8.0"]
    settings_ += ["sampling-probability=0.2", "expected-batch=230.0", "min-cohort=7", "max-examples=200"]
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
               "from app.cli import main; sys.exit(main())", "run"]  # fmt: skip
    done = run([*command, *(word for each in settings_ for word in ("-c", each))], tmp_path)
    assert done.exit_code == 0, done.errors
    lines = [" ".join(line.split()) for line in done.output.splitlines() if line.startswith("privacy: ")]
    paths = sorted((done.directory / "ledgers").glob("*.jsonl"))
    assert len(paths) == 10
    check_sentences(lines, paths, "distributed", 10)


def test_the_command_speaks_of_ledgers_alone(tmp_path: Path) -> None:
    path = ledger(tmp_path / "node.jsonl", GaussianRelease(5.0, 3, "client", 1e-20, 2))

    def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app", "ledger", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    done = ask(str(path), "--delta", "1e-4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("client-level differential privacy with epsilon ")
    assert "at delta 0.0001" in done.stdout
    assert f"against {CURIOUS}, and up to 2 colluding clients, for 3 sums" in done.stdout
    guessed = ask(str(path), "--colluders", "5")  # the ledger knows, and nobody else
    assert (guessed.returncode, guessed.stdout) == (2, "")
    missing = ask(str(tmp_path / "none.jsonl"))
    assert (missing.returncode, missing.stdout) == (4, "")
    assert missing.stderr.startswith("CH-E10  ")
    assert "Traceback" not in missing.stderr


def session(config: RunConfig) -> SecAggParams:
    """Of the whole cohort, for 100 parameters."""
    return server_app.settings_of(config).params(config.clients, 100, 0)


@pytest.mark.parametrize("quantile", [0.0, 0.5])
@pytest.mark.parametrize("mode", ["distributed", "client", "local+client"])
def test_what_is_planned_is_what_a_client_spends_that_never_misses(
    mode: str, quantile: float, tmp_path: Path
) -> None:
    adaptive = {"clipping_quantile": quantile} if "client" in mode else {}
    config = asked(mode, colluders=1, min_cohort=8, **adaptive)
    params, terms = session(config), terms_of(config)
    plan = sum_plan(terms, params, config.max_examples)
    if mode == "distributed":
        releases: list[Mechanism] = [PoissonGaussian(0.1, plan.noise_multiplier, 1, plan.slack, 1)]
    else:
        releases = [GaussianRelease(plan.noise_multiplier, 1, "client", plan.slack, 1)]
    if adaptive and quantile:
        bit = within_norm_plan(terms, params)
        releases.append(GaussianRelease(bit.noise_multiplier, 1, "client", bit.slack, 1))
    (spent,) = guarantees([ledger(tmp_path / "0.jsonl", *releases * config.rounds)], config.delta)
    assert planned(config, terms, params)[1 if mode == "local+client" else 0] == spent.sentence
    assert "and up to 1 colluding client, for " in spent.sentence


@pytest.mark.parametrize(
    ("mode", "sentences"), [("local", 1), ("distributed", 1), ("client", 2), ("local+client", 2)]
)
def test_what_is_planned_for_local_says_whose_account_it_is(mode: str, sentences: int) -> None:
    config = asked(mode)
    found = planned(config, terms_of(config), session(config))
    assert len(found) == sentences
    own = (
        "example-level, against everyone, by each client's own account: epsilon as each client's ledger says"
    )
    assert (found[0] == own) == ("local" in mode)


def test_a_local_target_is_planned_as_the_most_that_a_client_spends() -> None:
    found = config("local", epsilon=2.5)
    assert planned(found, terms_of(found), session(found)) == [
        "example-level, against everyone, by each client's own account: epsilon at most 2.5 by RDP"
    ]


# --- job = analytics --------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"job": "analytics", "query": "q.toml"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"privacy": "client", "epsilon": 1.0}, "privacy = client cannot be used with job = analytics"),
        ({"privacy": "local", "epsilon": 1.0}, "privacy = local cannot be used"),
        ({"privacy": "distributed"}, "needs epsilon or noise-multiplier, one of them"),
        ({"privacy": "distributed", "epsilon": 1.0, "noise-multiplier": 1.0}, "one of them"),
        (
            {"privacy": "distributed", "epsilon": 1.0, "clipping-norm": 2.0},
            "clipping-norm = 2.0 does nothing",
        ),
        ({"privacy": "distributed", "epsilon": 1.0, "sampling-probability": 0.5}, "does nothing"),
        ({"epsilon": 1.0}, "epsilon = 1.0 does nothing"),
    ],
)
def test_analytics_takes_noise_for_a_row_or_none(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        server_app.settings_of(RunConfig.parse(ASKED | keys))


def test_an_epsilon_for_a_query_is_kept_by_its_one_session() -> None:
    from app.analytics_job import terms_of as analytics_terms

    config = RunConfig.parse(ASKED | {"privacy": "distributed", "epsilon": 1.0})
    assert server_app.settings_of(config).privacy.mode is PrivacyMode.NONE  # the job's own come in its place
    terms = analytics_terms(config, math.sqrt(3))
    assert (terms.clipping_norm, terms.sampling_probability, terms.rounds) == (math.sqrt(3), 1.0, 1)
    assert 0.99 < rdp_epsilon([PoissonGaussian(1.0, terms.noise_multiplier, 1)], 1e-5) <= 1.0

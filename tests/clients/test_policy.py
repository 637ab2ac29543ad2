"""The node's policy against who would have the node do less: each key at its limit, and one step beyond."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from app.config import FIELDS
from clients.policy import NODE_KEY, Policy, PolicyRefused, norm_of
from clients.policy_file import KEYS, PolicyUnusable
from clients.tasks import load_task
from clients.updates import arrays_of, spec_of
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.bounds import Adversary
from secagg.errors import Refused
from secagg.params import SecAggParams
from wire.records import REASON_LENGTH

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
SECRET = "/home/hospital/policy.toml"
LAYOUT = bytes(range(32))
PARAMS = SecAggParams(1000, 5, 8, 5, 24, 1000, 4)
TERMS = {
    PrivacyMode.NONE: PrivacyTerms(),
    PrivacyMode.LOCAL: PrivacyTerms(PrivacyMode.LOCAL, 1.5, 1.0, delta=1e-5),
    PrivacyMode.DISTRIBUTED: PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, 1.0, 0.1, colluders=2, delta=1e-5),
    PrivacyMode.CLIENT: PrivacyTerms(
        PrivacyMode.CLIENT, client_noise_multiplier=1.5, client_clipping_norm=1.0, colluders=2, delta=1e-5
    ),
    PrivacyMode.LOCAL_CLIENT: PrivacyTerms(
        PrivacyMode.LOCAL_CLIENT,
        1.5,
        1.0,
        client_noise_multiplier=1.5,
        client_clipping_norm=1.0,
        colluders=2,
        delta=1e-5,
    ),
}
PRIVATE = [mode for mode in PrivacyMode if mode is not PrivacyMode.NONE]


def policy(text: str) -> Policy:
    """The keys on line 2 and after."""
    return Policy.parse(f"# of the ward\n{text}", SECRET)


def refusal(caught: pytest.ExceptionInfo[PolicyRefused], key: str, line: int = 2) -> str:
    error = caught.value
    assert error.code == "POLICY"
    assert error.shareable
    assert isinstance(error, Refused)
    text = str(error)
    assert text.startswith((f"policy line {line} ({key} = ", f"policy line {line} ({key}):"))
    assert "; ask the node's administrator or " in text
    assert text.isprintable()
    assert len(f"POLICY: {text}") <= REASON_LENGTH
    for hidden in (SECRET, "hospital", "of the ward"):
        assert hidden not in text
    assert error.line == f"POLICY: {text} ({SECRET})"
    return text


def refused_session(text: str, params: SecAggParams) -> str:
    with pytest.raises(PolicyRefused) as caught:
        policy(text).check_session(params)
    return refusal(caught, text.split()[0])


def refused_terms(text: str, terms: PrivacyTerms) -> str:
    with pytest.raises(PolicyRefused) as caught:
        policy(text).check_terms(terms)
    return refusal(caught, text.split()[0])


def refused_model(text: str, *model: Any) -> str:
    with pytest.raises(PolicyRefused) as caught:
        policy(text).check_model(*model)
    return refusal(caught, text.split()[0])


def test_the_empty_policy_allows_everything() -> None:
    nothing = Policy()
    nothing.check_session(SecAggParams(3, 2, 2, 3, 24, 0, 0))
    for terms in TERMS.values():
        nothing.check_terms(terms)
    nothing.check_task("x" * 4096)
    nothing.check_model("", b"", 2**40, 1.7e308)
    assert nothing.budget is None


# --- who may set a policy ---------------------------------------------------------------------------------------


def test_the_submitter_cannot_name_a_policy() -> None:
    """Adversary: a run config that would bring a laxer policy. The key is none of the run's."""
    assert NODE_KEY not in FIELDS
    assert not set(KEYS) & {"policy", NODE_KEY}


def test_a_node_without_the_key_has_the_empty_policy() -> None:
    assert Policy.of_node({"partition-id": 0, "data-path": "/data"}) == Policy()


def test_the_node_config_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("min-cohort = 5\n")
    assert Policy.of_node({NODE_KEY: str(path)}).keys.min_cohort == 5
    path.unlink()
    with pytest.raises(PolicyUnusable):
        Policy.of_node({NODE_KEY: str(path)})


@pytest.mark.parametrize("value", ["", ".", "policy.toml", "\x00", 0, False, True, 1.5, None, b"/etc/p"])
def test_a_key_that_names_no_file_allows_nothing(value: object) -> None:
    with pytest.raises(PolicyUnusable):
        Policy.of_node({NODE_KEY: value})


# --- the session ------------------------------------------------------------------------------------------------


def test_a_server_that_would_unmask_a_smaller_sum() -> None:
    """Adversary: a cohort of 1000 is announced, and the sum of three of them would do."""
    policy("min-cohort = 5").check_session(PARAMS)
    few = dataclasses.replace(PARAMS, min_survivors=4)
    assert "(min-cohort = 5): the session would unmask a sum of 4 clients;" in refused_session(
        "min-cohort = 5", few
    )
    few = dataclasses.replace(PARAMS, min_survivors=3)
    policy("min-cohort = 3").check_session(few)


def test_a_server_that_would_rebuild_secrets_with_fewer_shares() -> None:
    """Adversary: two colluding neighbours would do."""
    policy("min-threshold = 5").check_session(PARAMS)
    for threshold in (4, 2):
        few = dataclasses.replace(PARAMS, threshold=threshold)
        assert f": {threshold} shares would" in refused_session("min-threshold = 5", few)


def test_a_session_that_reckons_with_fewer_colluders_than_the_node() -> None:
    """Adversary: the server says how many it reckons with; its threshold is then only held to that."""
    for colluders in (2, 3):
        reckoned = dataclasses.replace(PARAMS, threshold=5, colluders=colluders)
        policy("tolerated-colluders = 2").check_session(reckoned)
    for colluders in (0, 1):
        lax = dataclasses.replace(PARAMS, threshold=5, colluders=colluders)
        assert f"holds against {colluders} colluders" in refused_session("tolerated-colluders = 2", lax)


def test_a_threshold_implies_its_neighbours() -> None:
    """Why there is no key for neighbours: whoever thins out the graph lowers the threshold with it."""
    for neighbours in (4, 2):
        thin = dataclasses.replace(PARAMS, neighbours=neighbours, threshold=min(5, neighbours + 1))
        if neighbours >= 4:
            policy("min-threshold = 5").check_session(thin)
        else:
            refused_session("min-threshold = 5", thin)


def test_a_session_that_trusts_its_server_more_than_the_node_does() -> None:
    active = dataclasses.replace(PARAMS, min_survivors=501, adversary=Adversary.ACTIVE)
    for allowed in (PARAMS, active):
        policy('adversary = "curious"').check_session(allowed)
    policy('adversary = "active"').check_session(active)
    assert "is curious, not active" in refused_session('adversary = "active"', PARAMS)


@given(st.integers(3, 20), st.integers(3, 20))
def test_the_stricter_of_server_and_node_wins(asked: int, least: int) -> None:
    """A session that is allowed meets both, and is left as it was asked for."""
    params = dataclasses.replace(PARAMS, min_survivors=asked)
    try:
        policy(f"min-cohort = {least}").check_session(params)
    except PolicyRefused:
        assert asked < least
    else:
        assert params.min_survivors == asked == max(asked, least)


# --- the terms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", PrivacyMode)
def test_a_run_in_a_mode_that_is_not_listed(mode: PrivacyMode) -> None:
    policy(f'modes = ["{mode}"]').check_terms(TERMS[mode])
    others = ", ".join(f'"{other}"' for other in PrivacyMode if other is not mode)
    policy(f"modes = [{others}, '{mode}']").check_terms(TERMS[mode])
    assert f"is {mode};" in refused_terms(f"modes = [{others}]", TERMS[mode])


@pytest.mark.parametrize(
    "floor", ["min-noise-multiplier = 0.001", "min-colluders = 1", "max-epsilon = 1e6\ndelta = 0.9"]
)
def test_a_run_without_privacy_passes_no_floor(floor: str) -> None:
    """Adversary: asks for no noise at all, so that nothing is ever charged or compared."""
    assert "no differential privacy" in refused_terms(floor, TERMS[PrivacyMode.NONE])
    for mode in PRIVATE:
        policy(floor).check_terms(TERMS[mode])


def test_a_policy_on_other_matters_rules_out_no_mode() -> None:
    for terms in TERMS.values():
        policy('min-cohort = 5\ntasks = ["digits"]\nmax-parameters = 3').check_terms(terms)


@pytest.mark.parametrize("mode", PRIVATE)
def test_a_run_with_less_noise(mode: PrivacyMode) -> None:
    """Adversary: lowers any one noise multiplier that the mode uses, by one unit in the last place."""
    policy("min-noise-multiplier = 1.5").check_terms(TERMS[mode])
    for name in ("noise_multiplier", "client_noise_multiplier"):
        if getattr(TERMS[mode], name):
            for less in (math.nextafter(1.5, 0.0), 1e-9):
                lax = dataclasses.replace(TERMS[mode], **{name: less})
                shown = f": {name.replace('_', '-')} of the run is {less};"
                assert shown in refused_terms("min-noise-multiplier = 1.5", lax)


def test_a_target_epsilon_is_no_noise_multiplier() -> None:
    """A run that leaves the noise to the client is refused until the client has found how much it is."""
    target = PrivacyTerms(PrivacyMode.LOCAL, clipping_norm=1.0, epsilon=3.0, delta=1e-5, rounds=10)
    assert "noise-multiplier of the run is 0.0" in refused_terms("min-noise-multiplier = 1.5", target)
    policy("min-noise-multiplier = 1.5").check_terms(dataclasses.replace(target, noise_multiplier=1.5))
    policy("max-epsilon = 3.0\ndelta = 1e-5").check_terms(target)


@pytest.mark.parametrize("mode", PRIVATE)
def test_a_nan_is_no_noise(mode: PrivacyMode) -> None:
    """Terms refuse a NaN when they are made; should one come through, it meets no floor."""
    lax = TERMS[mode]
    name = "noise_multiplier" if lax.noise_multiplier else "client_noise_multiplier"
    forged = dataclasses.replace(lax)
    object.__setattr__(forged, name, math.nan)
    refused_terms("min-noise-multiplier = 0.001", forged)


@pytest.mark.parametrize("mode", PRIVATE)
def test_noise_that_holds_against_fewer_colluders(mode: PrivacyMode) -> None:
    """Adversary: has the noise shares sized as if nobody colluded. A client's own noise needs no such word."""
    policy("min-colluders = 2").check_terms(TERMS[mode])
    for fewer in (1, 0):
        lax = dataclasses.replace(TERMS[mode], colluders=fewer)
        if mode.shares_noise:
            assert f"against {fewer} colluders" in refused_terms("min-colluders = 2", lax)
        else:
            policy("min-colluders = 2").check_terms(lax)


# --- the task and the model -------------------------------------------------------------------------------------


def test_a_task_that_is_not_listed() -> None:
    """Adversary: names a module of its own, under the longest and oddest name that a config record carries."""
    listed = policy('tasks = ["digits", "ward.faces"]')
    for name in ("digits", "ward.faces"):
        listed.check_task(name)
        listed.check_model(name, LAYOUT, 1, 1.0)
    for name in ("digit", "digits ", "DIGITS", "", "mnist", "ward", "\x1b[2J\n\u202e" * 1000, "'" * 4096):
        with pytest.raises(PolicyRefused) as caught:
            listed.check_task(name)
        assert "ward" not in refusal(caught, "tasks").replace("'ward'", "")
        refused_model('tasks = ["digits", "ward.faces"]', name, LAYOUT, 1, 1.0)


def test_parameters_at_and_above_the_cap() -> None:
    policy("max-parameters = 1000").check_model("digits", LAYOUT, 1000, 1.0)
    assert "has 1001 parameters" in refused_model("max-parameters = 1000", "digits", LAYOUT, 1001, 1.0)


def test_a_norm_at_and_above_the_cap() -> None:
    policy("max-parameter-norm = 2.0").check_model("digits", LAYOUT, 1, 2.0)
    above = math.nextafter(2.0, 3.0)
    assert f"norm is {above};" in refused_model("max-parameter-norm = 2.0", "digits", LAYOUT, 1, above)


@pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("text", ["", "max-parameter-norm = 1.7e308"])
def test_a_model_that_is_not_finite_passes_no_policy(text: str, norm: float) -> None:
    with pytest.raises(PolicyRefused, match="no finite number") as caught:
        policy(text).check_model("digits", LAYOUT, 1, norm)
    assert SECRET not in str(caught.value)


def measured(model: nn.Module) -> tuple[str, bytes, int, float]:
    """What the client finds of a model that came in."""
    arrays = arrays_of(model)
    return "digits", spec_of(model).digest, sum(array.size for array in arrays.values()), norm_of(arrays)


def ward() -> str:
    """The policy of a node that knows the digits model."""
    _, layout, parameters, norm = measured(load_task("digits").model(0))
    return f'layouts = ["{layout.hex()}"]\nmax-parameters = {parameters}\nmax-parameter-norm = {norm}'


def test_the_known_model_passes() -> None:
    policy(ward()).check_model(*measured(load_task("digits").model(0)))


def test_a_model_with_an_imprint_layer() -> None:
    """Adversary: a wide layer in front that separates examples, so that they survive in the sum (Fowl et al. 2022)."""
    crafted = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 64))
    task, layout, parameters, norm = measured(nn.Sequential(crafted, load_task("digits").model(0)))
    assert layout.hex() in refused_model(ward(), task, layout, parameters, norm)
    _, known, most, _ = measured(load_task("digits").model(0))
    with pytest.raises(PolicyRefused) as caught:
        policy(ward()).check_model(task, known, parameters, norm)
    refusal(caught, "max-parameters", 3)
    assert parameters > most


@pytest.mark.parametrize("change", ["rename", "dtype", "frozen", "shape"])
def test_a_model_that_differs_in_one_thing(change: str) -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 2)})
    known = spec_of(model).digest
    if change == "rename":
        model = nn.ModuleDict({"b": nn.Linear(3, 2)})
    elif change == "dtype":
        model = model.double()
    elif change == "frozen":
        model["a"].weight.requires_grad_(False)
    else:
        model = nn.ModuleDict({"a": nn.Linear(2, 2)})
    text = f'layouts = ["{known.hex()}", "{LAYOUT.hex()}"]'
    refused = refused_model(text, "digits", spec_of(model).digest, 1, 1.0)
    assert known.hex() not in refused
    policy(text).check_model("digits", known, 1, 1.0)


def test_a_model_with_the_known_layout_and_crafted_weights() -> None:
    """Adversary: weights scaled up until one example's gradient drowns the others (MediLeak and its like)."""
    crafted = load_task("digits").model(0)
    for parameter in crafted.parameters():
        parameter.data *= 1e3
    with pytest.raises(PolicyRefused) as caught:
        policy(ward()).check_model(*measured(crafted))
    refusal(caught, "max-parameter-norm", 4)


# --- the norm ---------------------------------------------------------------------------------------------------


def test_a_norm_by_hand() -> None:
    arrays = {
        "a": np.array([[3.0, 0.0]], dtype=np.float32),
        "b": np.array(4.0, dtype=np.float16),
        "none": np.zeros((0, 3)),
        "batches": np.array(10**6),
        "flag": np.array([True]),
    }
    assert norm_of(arrays) == 5.0
    assert norm_of({}) == 0.0
    assert norm_of({"a": np.zeros(3)}) == 0.0


@pytest.mark.parametrize("scale", [1e300, 1e-300, 5e-324])
def test_a_norm_neither_overflows_nor_vanishes(scale: float) -> None:
    found = norm_of({"a": np.array([3.0, 4.0]) * scale, "b": np.array([12.0]) * scale})
    assert found == pytest.approx(13.0 * scale, rel=1e-12, abs=5e-324)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_entry_that_is_not_finite_shows_in_the_norm(bad: float) -> None:
    for place in range(4):
        values = np.ones(4, dtype=np.float32)
        values[place] = bad
        assert not math.isfinite(norm_of({"first": np.ones(3), "a": values, "last": np.ones(3)}))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_norm_is_the_plain_one(values: list[float]) -> None:
    assert norm_of({"a": np.array(values)}) == pytest.approx(math.hypot(*values), rel=1e-12)


# --- the sentence -----------------------------------------------------------------------------------------------


def test_the_longest_refusals_are_not_cut() -> None:
    """On the last line of the longest file, with the longest numbers."""
    gap = "\n" * 60_000
    most, above = 1.6976931348623157e308, 1.7976931348623157e308
    least, tiny = 5.000000000000001e-300, 4.999999999999999e-300
    lax = dataclasses.replace(TERMS[PrivacyMode.CLIENT], client_noise_multiplier=tiny)
    session = SecAggParams(2**20, 2, 2**20 - 1, 2**20 - 1, 40, 0, 0)
    calls = [
        (f"min-cohort = {2**20}", lambda p: p.check_session(session)),
        (f"min-threshold = {2**20}", lambda p: p.check_session(dataclasses.replace(session, threshold=2**20 - 1))),
        ('adversary = "active"', lambda p: p.check_session(session)),
        ('modes = ["none"]', lambda p: p.check_terms(TERMS[PrivacyMode.LOCAL_CLIENT])),
        (f"min-noise-multiplier = {least}", lambda p: p.check_terms(lax)),
        (f"min-noise-multiplier = {least}", lambda p: p.check_terms(TERMS[PrivacyMode.NONE])),
        (f"min-colluders = {2**20}", lambda p: p.check_terms(TERMS[PrivacyMode.CLIENT])),
        ('tasks = ["digits"]', lambda p: p.check_task("\U0001f600" * 100)),
        ('tasks = ["digits"]', lambda p: p.check_task("\U000e0001" * 100)),
        (f'layouts = ["{"0" * 64}"]', lambda p: p.check_model("", LAYOUT, 1, 1.0)),
        (f"max-parameters = {2**33}", lambda p: p.check_model("", LAYOUT, 2**63, 1.0)),
        (f"max-parameter-norm = {most}", lambda p: p.check_model("", LAYOUT, 1, above)),
    ]  # fmt: skip
    for text, call in calls:
        with pytest.raises(PolicyRefused) as caught:
            call(policy(gap + text))
        refusal(caught, text.split()[0], 60_002)


def test_the_refusal_of_the_page_is_the_one_of_its_example() -> None:
    text = PAGE.read_text(encoding="utf-8")
    example = Policy.parse(text.split("```toml\n")[1].split("```")[0])
    with pytest.raises(PolicyRefused) as caught:
        example.check_session(dataclasses.replace(PARAMS, min_survivors=3))
    assert f"\n    {caught.value.line}\n" in text
    example.check_session(dataclasses.replace(PARAMS, colluders=1))
    example.check_terms(TERMS[PrivacyMode.DISTRIBUTED])
    example.check_model(*measured(load_task("digits").model(0)))
    assert example.budget is not None

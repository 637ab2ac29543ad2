"""What the tests of single modules of `wire` leave out: forged transcripts, terms that do not fit, smaller layouts."""

from dataclasses import replace
from pathlib import Path

import pytest

from privacy.ledger_file import LedgerFile
from privacy.mechanisms import GaussianRelease, PoissonGaussian
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import Refused
from secagg.params import SecAggParams
from tests.support.told_run import ToldRun, tables_of
from wire.entries import from_json, to_json
from wire.entry_kinds import Opened
from wire.inquiry import Inquiry
from wire.noise import plans_of, releases_of
from wire.questions import Question, Summand
from wire.rounds import Purpose
from wire.scalars import WITHIN_NORM, ScalarLayout
from wire.transcript import VERSION, Transcript, read_transcript

PARAMS = SecAggParams(10, 7, 9, 7, 32, 1000, 12)
DISTRIBUTED = PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, 0.8, 0.1, delta=1e-5)
CLIENT = PrivacyTerms(
    PrivacyMode.CLIENT, client_noise_multiplier=1.2, client_clipping_norm=3.0, delta=1e-5, clipping_quantile=0.5
)  # fmt: skip
LOCAL = PrivacyTerms(PrivacyMode.LOCAL, 1.0, 1.0, delta=1e-5)


def test_an_entry_without_a_field_that_has_a_default_is_not_how_it_is_written(tmp_path: Path) -> None:
    told = ToldRun(tmp_path, active=True)
    joined = next(each for path in told.nodes for each in tables_of(path) if each["kind"] == "joined")
    joined.pop("signature", None)
    assert to_json(from_json(joined)) == joined
    terms = dict(joined["terms"])
    del terms["rounds"]
    with pytest.raises(ValueError, match="not how a joined is written"):
        from_json(joined | {"terms": terms})


def test_a_transcript_is_opened_once(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    Transcript.open(path, None).close()
    file = LedgerFile.open(path)
    file.append(to_json(Opened(version=VERSION, file="ab" * 16, key="", before="")))
    file.close()
    reading = read_transcript(path.read_bytes())
    assert reading.fault == "line 2: it opens the file a second time"


def test_a_transcript_that_begins_with_anything_else_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    LedgerFile.create(path, {"kind": "of another program", "key": ""})
    before = path.read_bytes()
    Transcript.open(path, None).close()
    assert (tmp_path / "transcript.jsonl.1").read_bytes() == before
    assert read_transcript(path.read_bytes()).fault == ""


def test_closing_twice_closes_once(tmp_path: Path) -> None:
    told = Transcript.open(tmp_path / "transcript.jsonl", None)
    told.close()
    told.close()
    told.append("failed", session="ab" * 32, code="QUORUM")
    told.close()
    assert len(read_transcript((tmp_path / "transcript.jsonl").read_bytes()).lines) == 1


def test_a_question_over_rows_knows_no_local_noise() -> None:
    question = Question(table="a.csv", columns={}, sums=(Summand(),))
    record = Inquiry(question, "", 0, 10, DISTRIBUTED).to_record()
    assert Inquiry.from_record(record).terms.mode is PrivacyMode.DISTRIBUTED
    with pytest.raises(Refused, match="know no privacy = local"):
        Inquiry.from_record(Inquiry(question, "", 0, 10, LOCAL).to_record())


def test_what_a_masked_sum_releases_follows_from_the_mode() -> None:
    (step,) = releases_of(DISTRIBUTED, *plans_of(DISTRIBUTED, PARAMS, 100), rounds=3)
    assert isinstance(step, PoissonGaussian)
    update, bit, *halves = releases_of(CLIENT, *plans_of(CLIENT, PARAMS, 100))
    assert isinstance(update, GaussianRelease)
    assert isinstance(bit, GaussianRelease)
    assert [getattr(each, "unit", None) for each in (update, bit, *halves)] == ["client"] * 2 + [
        "example"
    ] * 2
    assert halves[0] == replace(update, unit="example", noise_multiplier=update.noise_multiplier / 2)
    both = replace(CLIENT, mode=PrivacyMode.LOCAL_CLIENT, noise_multiplier=9.0, clipping_norm=0.1)
    assert releases_of(both, *plans_of(both, PARAMS, 100)) == [update, bit]


def test_a_norm_that_adapts_has_a_scalar_of_its_own() -> None:
    plain = ScalarLayout.of(Purpose.TRAINING, (), 0)
    adapting = ScalarLayout.of(Purpose.TRAINING, (), 0, adaptive_clipping=True)
    assert adapting.names == (*plain.names, WITHIN_NORM)
    assert adapting.digest != plain.digest

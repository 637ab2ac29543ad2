"""The catalogue of errors: one stable number for each thing that can go wrong, and what to do about it.

Decides: which number an error has (that of its own type, or of the nearest one above it), what its letter means for
the exit code, and the words of docs/errors.md, which is written from this table. The words that travel between
machines (`ChorusError.code`: CONFIG, QUORUM, ...) are another thing and stay what they are.
Refuses to import the types it names, most of which live behind torch or cryptography.

    CH-C..  exit code 2   the user's: a setting, an argument, a file
    CH-P..  exit code 3   the protocol's: no sum could be had, or a peer is not to be believed
    CH-E..  exit code 4   the environment's: this machine, the network, the disk
    CH-X..  exit code 1   ours
"""

import json
from dataclasses import dataclass
from typing import Final

EXIT_CODES: Final = {"C": 2, "P": 3, "E": 4, "X": 1}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        number: `CH-`, a letter of `EXIT_CODES` and two digits; never given to anything else, never reused.
        kinds: full names of the error types; none where no type is raised.
        meaning: what happened; `remedy`: what to do.
    """

    number: str
    kinds: tuple[str, ...]
    meaning: str
    remedy: str

    @property
    def exit_code(self) -> int:
        """Of a command that ends with this error."""
        return exit_code_of(self.number)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a command says when it fails."""

    number: str
    message: str

    @property
    def line(self) -> str:
        """`CH-C01  message`, for people."""
        return f"{self.number}  {self.message}"

    @property
    def document(self) -> str:
        """One JSON object, for programs (`--json`)."""
        return json.dumps({"error": {"code": self.number, "message": self.message}}, ensure_ascii=False)

    @property
    def exit_code(self) -> int:
        """By the letter of its number."""
        return exit_code_of(self.number)


CONFLICT: Final = "CH-C03"
USAGE: Final = "CH-C05"
NOTHING_UNMASKED: Final = "CH-P03"
DOES_NOT_HOLD: Final = "CH-P25"
NO_ROOM: Final = "CH-E03"
NOT_ENDED: Final = "CH-E15"
STOPPED: Final = "CH-E16"
CRASH: Final = "CH-X01"

ENTRIES: Final[tuple[Entry, ...]] = (
    Entry("CH-C01", ("app.config.UnknownSetting",), "There is no setting of this name.",
          "Take the name that is proposed; `chorus config show` lists all."),
    Entry("CH-C02", ("app.config.SettingRefused",), "A setting has a value that it does not take.",
          "The line says what it takes; `chorus config show` says it of every setting."),
    Entry(CONFLICT, ("arithmetic.errors.ConfigError",),
          "Settings, arguments or files that cannot be used, or not together.", "The line says which to change."),
    Entry("CH-C04", ("arithmetic.errors.ParameterError",),
          "Parameters of the protocol, the encoding or the noise that cannot work together.",
          "The line names the numbers and what they must be; mostly threshold, neighbours, colluders, modulus-bits."),
    Entry(USAGE, (), "The command line has an option, argument or command that does not exist.",
          "`chorus --help`, or `--help` after a command, lists what there is."),
    Entry("CH-C06", ("app.finding_runs.NoSuchRun",), "No run, or more than one, is what RUN names.",
          "`chorus ls` lists runs; give more of the id, or the path."),
    Entry("CH-C07", ("app.run_directory.RunBusy",), "The run is still going, and one process works on a run.",
          "Wait for its end, watch it with `chorus watch`, or end it with `chorus stop`."),
    Entry("CH-C08", ("app.resuming.NotContinued",),
          "The run cannot be continued like this: it has finished, or a setting must stay what it was.",
          "Ask for more rounds (`-c rounds=N`), leave the setting out, or start a new run."),
    Entry("CH-C09", ("clients.identity.IdentityUnusable",), "A node's identity key cannot be used.",
          "Take the file from the node's kit; docs/deployment.md says who makes it."),
    Entry("CH-C10", ("wire.roster_file.RosterUnusable",), "The roster cannot be used: its form, signature or date.",
          "Copy roster.json anew from the authority; `chorus provision --renew` makes one with a later date."),
    Entry("CH-C11", ("clients.policy_file.PolicyUnusable",), "A node's policy cannot be read.",
          "The line names the place in policy.toml; docs/policy.md lists its keys."),
    Entry("CH-C12", ("strategies.errors.StrategyNotSupported",),
          "The strategy needs single clients' updates, and the server has only their sum.",
          "Take one that needs the mean alone: fedavg, fedprox, fedadam, fedavgm, fedyogi, fedadagrad."),
    Entry("CH-C13", ("clients.leaks.LeakyModel",),
          "With this model, clipped and noised gradients would not be all that leaves a client.",
          "Replace the layer that is named, BatchNorm by GroupNorm for example."),
    Entry("CH-C14", ("clients.analytics_table.NoColumn",), "The query asks for a column that a table lacks.",
          "Mend the query, or the header of the table on that node."),
    Entry("CH-C15", ("predictions.errors.UnsupportedModel",),
          "The model has a layer that private predictions do not know.",
          "Replace the layer that is named; docs/decisions says which are known."),
    Entry("CH-C16", ("app.stopping_runs.NotGoing",), "There is nothing to stop here.",
          "`chorus ls --running` lists runs that are going on; one of a federation is stopped where it was submitted."),
    Entry("CH-P01", ("secagg.errors.OutOfTurn", "secagg.errors.ProtocolError"),
          "A message that is not due now: repeated, skipped, stale or of another session.",
          "Nothing: its sender is out for this round. If it comes back, restart that node."),
    Entry("CH-P02", ("secagg.errors.MalformedMessage",), "Bytes that are not the message they claim to be.",
          "See that all machines run the same version; otherwise the named peer, or the network, alters messages."),
    Entry(NOTHING_UNMASKED, ("secagg.errors.CohortTooSmall",),
          "Fewer clients than the threshold completed a step of a round. Nothing was unmasked; the model of the "
          "round before is safe.",
          "The line names who is missing and why. Bring them back, raise round-deadline or training-deadline, or "
          "lower threshold; then `chorus resume`."),
    Entry("CH-P04", ("secagg.errors.VersionSkew",), "The two sides run versions that do not speak with each other.",
          "Install the same version of Chorus, with the same constraints.txt, on the server and on every node."),
    Entry("CH-P05", ("secagg.errors.SuspectServer",), "The server showed something that an honest one never shows.",
          "Stop the node and ask whoever runs the server; docs/threats.md says what each check is for."),
    Entry("CH-P06", ("secagg.errors.Refused", "clients.policy.PolicyRefused"),
          "This side does not accept the parameters of the session.",
          "Ask for what the node's policy.toml allows (docs/policy.md), or change the policy there."),
    Entry("CH-P07", ("secagg.errors.NotAuthentic",), "A key or a signature is not that of whom it is said to be of.",
          "See that roster and kit belong to the same federation, and that the node was not revoked."),
    Entry("CH-P08", ("secagg.errors.Misbehaviour",), "A client's bytes do not check; it is named.",
          "The round goes on without it. Ask whoever runs it; revoke it with `chorus provision --revoke`."),
    Entry("CH-P09", ("secagg.errors.Unrecoverable",), "A client dealt shares that do not rebuild its secret.",
          "The round gave no sum and the model is unchanged. Revoke the client that is named, if it happens again."),
    Entry("CH-P10", ("arithmetic.errors.RangeError",), "A number that must not enter the sum: NaN, too large.",
          "Mostly training that diverged: lower learning-rate, look at the data of the client that is named."),
    Entry("CH-P11", ("strategies.errors.CohortIncomplete",), "Fewer nodes than the cohort connected in time.",
          "Start the missing nodes (`chorus doctor node KIT` there), lower clients, or raise cohort-deadline."),
    Entry("CH-P12", ("strategies.errors.NothingAggregated",), "No round of the run gave a sum.",
          "The line ends with the last round's reason; look that one up here."),
    Entry("CH-P13", ("strategies.errors.RingEnded",), "A hospital refused what it was shown in the ring.",
          "See its own log; rosters or keys of two federations may be mixed up."),
    Entry("CH-P14", ("paillier.errors.InvalidCiphertext",), "A number that no encryption under this key gives.",
          "The session ended without a sum; if it comes back, the hospital before is at fault, or the network."),
    Entry("CH-P15", ("paillier.errors.ForeignKey",), "Something made under another public key than the one in hand.",
          "Compare the digest in paillier-key of the policy with the one that the run printed."),
    Entry("CH-P16", ("paillier.errors.BrokenHop",), "What came as the hospital before's sum does not open as that.",
          "The ring starts again; if it comes back, ask whoever runs the server and that hospital."),
    Entry("CH-P17", ("paillier.errors.HospitalDropped",), "A hospital of the ring did not answer.",
          "The ring starts again without it; bring it back for the next round."),
    Entry("CH-P18", ("privacy.errors.BudgetExhausted",), "The next release would pass the node's privacy budget.",
          "Nothing was released. The budget is the policy's (docs/policy.md); this data has given what it may."),
    Entry("CH-P19", ("clients.analytics_table.BadCell",), "A cell that the query needs is no finite number.",
          "The node's own log names the row; mend the table there."),
    Entry("CH-P20", ("predictions.errors.PredictionRange",),
          "A model or an input is outside the range that fixed point was proven for.",
          "Scale the input as in training; the line says the range."),
    Entry("CH-P21", ("predictions.errors.LinkFailed",), "A prediction server is gone; the query's material is burnt.",
          "Ask again when both servers are up; no material is ever used twice."),
    Entry("CH-P22", ("predictions.errors.FrameRejected",), "A frame that is cut off, too large, replayed or altered.",
          "See that both servers and the client run the same version."),
    Entry("CH-P23", ("predictions.errors.AnswerRejected",), "The servers' answers do not agree; none is given.",
          "One of them may be lying or broken; ask whoever runs them."),
    Entry("CH-P24", ("predictions.errors.QueryRefused",), "The owner's limits refuse this query.",
          "Wait for the quota, or ask for a kind of answer that the owner allows."),
    Entry(DOES_NOT_HOLD, (), "`chorus verify` found something that does not hold.",
          "Its lines that begin with fails say what, and in whose transcript."),
    Entry("CH-P26", ("predictions.errors.ModelRejected",),
          "A model file or a program for private predictions cannot be accepted.",
          "The line says what is wrong with it; share the model again with the same version."),
    Entry("CH-E01", ("arithmetic.errors.SetupError", "arithmetic.errors.ChorusError"),
          "This machine lacks something: a file, a port, a package.", "The line names it."),
    Entry("CH-E02", ("app.superlink.SuperLinkDown",), "Flower's SuperLink did not start, or ended in mid-run.",
          "The end of superlink.log in the run's folder says why; `chorus doctor` looks at this machine."),
    Entry(NO_ROOM, (), "The disk did not take what the run writes.",
          "Free it (`chorus clean` says what can go), or name another --runs-dir; then `chorus resume`."),
    Entry("CH-E04", ("app.accelerators.NoGpu", "clients.device.NoSuchDevice"),
          "A device was asked for that is not there, or not visible to the clients.",
          "Use --gpu auto, or -c device=cpu; `chorus doctor` says what this machine shows."),
    Entry("CH-E05", ("app.deployment.probe.NobodyAnswers",), "Nothing answers at the SuperLink's address.",
          "Start `chorus server` there, or open the port; `chorus doctor node KIT` looks at the whole way."),
    Entry("CH-E06", ("strategies.errors.LinkLost",), "The SuperLink stayed away in mid-run.",
          "Start it again, then `chorus resume`: checkpoints are on the server's disk."),
    Entry("CH-E07", ("wire.transcript.TranscriptError",), "A transcript cannot be read, written or continued.",
          "The line names the file; put it aside, never edit it."),
    Entry("CH-E08", ("app.checkpoint.CheckpointRefused",), "A checkpoint is not used: torn, or of another run.",
          "Nothing: the one before it is taken."),
    Entry("CH-E09", ("app.resuming.NoCheckpoint",), "There is no checkpoint that the run could go on from.",
          "Start it anew."),
    Entry("CH-E10", ("privacy.errors.LedgerMissing", "privacy.errors.LedgerError"),
          "A ledger is not where it was, or cannot be used.",
          "Put it back: without it nobody knows what was spent, and the node releases nothing."),
    Entry("CH-E11", ("privacy.errors.LedgerDamaged",), "A ledger is torn or was edited.",
          "Restore it from a copy; never mend it by hand."),
    Entry("CH-E12", ("privacy.errors.LedgerForeign",), "The ledger is of other data or of another version.",
          "Give each data set its own ledger."),
    Entry("CH-E13", ("privacy.errors.LedgerHeld",), "Another process has the ledger open.",
          "Only one node may work on it; end the other."),
    Entry("CH-E14", ("clients.analytics_table.NoTable", "clients.analytics_table.TableUnusable"),
          "The table of a query cannot be read on a node.", "The node's own log says why."),
    Entry(NOT_ENDED, (), "Processes of a run could not be ended.", "End them by the ids in the line."),
    Entry(STOPPED, (), "A run is not going on and never said how it ended: it was interrupted or killed.",
          "Continue it: `chorus resume RUN`."),
    Entry(CRASH, (), "Something broke that should not: this one is ours.",
          "Please report it, with what `--debug` adds."),
)  # fmt: skip

_BY_KIND: Final = {kind: entry.number for entry in ENTRIES for kind in entry.kinds}
# Where only the word is known, as in Flower's own account of a run.
_BY_WORD: Final = {
    "CONFIG": CONFLICT, "ENV": "CH-E01", "FORMAT": "CH-P02", "AUTH": "CH-P07", "STATE": "CH-P01", "VIEW": "CH-P05",
    "POLICY": "CH-P06", "CRYPTO": "CH-P08", "SHARE": "CH-P09", "RANGE": "CH-P10", "QUORUM": NOTHING_UNMASKED,
}  # fmt: skip
WORDS: Final = tuple(_BY_WORD)


def exit_code_of(number: str) -> int:
    """Exit code of a number of the catalogue; 1 for anything else."""
    return EXIT_CODES.get(number[3:4], 1)


def number_of(error: BaseException) -> str:
    """The number of an error: of its type, or of the nearest type above it; `CRASH` for what is none of ours."""
    kinds = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_BY_KIND[kind] for kind in kinds if kind in _BY_KIND), CRASH)


def number_of_word(word: str) -> str:
    """The number for a word that came from another machine; `CRASH` for one that is not known."""
    return _BY_WORD.get(word, CRASH)


def failure_of(error: BaseException) -> Failure:
    """What a command says of an error."""
    number = number_of(error)
    if number == CRASH:
        return Failure(
            number, f"this is a fault of Chorus: {type(error).__name__}: {error}; --debug says where"
        )
    return Failure(number, str(error))


def page() -> str:
    """docs/errors.md."""
    lines = [_HEAD]
    for letter, title in _TITLES.items():
        lines += [f"\n## {title}\n", "| code | what happened | what to do |", "|---|---|---|"]
        lines += [
            f"| {each.number} | {each.meaning} | {each.remedy} |"
            for each in ENTRIES
            if each.number[3] == letter
        ]
    return "\n".join(lines) + "\n"


_TITLES: Final = {
    "C": "CH-C: yours to change (exit code 2)",
    "P": "CH-P: the protocol's (exit code 3)",
    "E": "CH-E: the environment's (exit code 4)",
    "X": "CH-X: ours (exit code 1)",
}
_HEAD: Final = """\
# Errors

Every error is one line on standard error: a stable code, what happened, why, and what to do. With `--json` it is one
object, `{"error": {"code": ..., "message": ...}}`; `--debug` adds where in the code it came from. A code never changes
its meaning. The first letter gives the exit code; 130 and 143 are an interrupt and a SIGTERM.

    CH-C01  Unknown setting "learning-rat" (from -c). Did you mean "learning-rate"? All settings: chorus config show

What nodes and server tell each other, and logs and events keep, are words without numbers (`CONFIG`, `QUORUM`, `AUTH`,
...); [the threat model](threats.md) has them. This page is written from `app/catalogue.py` by
`.venv/bin/python -m app.catalogue`."""


if __name__ == "__main__":
    print(page(), end="")

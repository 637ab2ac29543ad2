"""`MODEL_CARD.md`: what a model is, whose data it was trained on, what protects them, and how it is loaded.

Decides: the words. What it says of data is the task's name and counts that the server has anyway: no example, no
client's own figure.
Refuses to know: what the model is good for; that is for whoever publishes it to add.
"""

from typing import Final

from app.config import RunConfig
from app.finding_runs import near
from app.report.spent import Spent
from app.report.story import Story
from app.ring_keys import RING

FILE: Final = "MODEL_CARD.md"


def loading(story: Story) -> str:
    """Python that loads the final model, to be run in the root of the clone."""
    return (
        "from safetensors.numpy import load_file\n\n"
        "from clients.tasks import load_task\n"
        "from clients.updates import load_arrays\n\n"
        f"model = load_task({story.config.task!r}).model(seed={story.config.seed})\n"
        f"load_arrays(model, load_file({near(story.directory.model)!r}))\n"
        "model.eval()"
    )


def card(story: Story, paid: Spent, outcome: str) -> str:
    """The card, as Markdown.

    Args:
        story: of the run.
        paid: what it spent of privacy.
        outcome: a sentence: how it ended.
    """
    config = story.config
    sections = [
        f"# {config.task}, trained by {config.clients} {_who(config)}",
        f"Run `{story.directory.id}`, {story.moment}. {outcome}",
        _section("What it is", _model(story)),
        _section("How good it is", _quality(story)),
        _section("What it was trained on", _data(story)),
        _section("What protects the people in the data", _protection(story, paid)),
        _section("Limits", _limits(config, story.stopped.get("rule") == "patience")),
        _section(
            "How to load it", f"In the root of a clone of the project:\n\n```python\n{loading(story)}\n```"
        ),
        _section("How it was made", _made(story)),
    ]
    return "\n\n".join(sections) + "\n"


def _section(heading: str, text: str) -> str:
    return f"## {heading}\n\n{text}"


def _who(config: RunConfig) -> str:
    return "hospitals in a ring" if config.job == RING else "clients that kept their data"


def _model(story: Story) -> str:
    config = story.config
    how = f"mean gradients and {config.optimizer}" if config.job == "gradients" else config.strategy
    return (
        f"The model of the task `{config.task}` with {story.facts.get('parameters', 'an unknown number of')} trained "
        f"parameters, `model.safetensors` in this folder. It was trained with {how} over {config.rounds} server rounds."
    )


def _quality(story: Story) -> str:
    told = [
        f"- {words}: {value:.4f}"
        for words, value in (
            ("accuracy on the public test set", story.figure("central_accuracy")),
            ("accuracy on the clients' own validation data, summed under masks", story.figure("accuracy")),
            ("loss on the clients' own validation data, summed under masks", story.figure("loss")),
        )
        if value is not None
    ]
    return (
        "\n".join(told) or "Nothing judged it: no metric left the clients, and there was no public test set."
    )


def _data(story: Story) -> str:
    config = story.config
    simulated = (story.directory.path / "clients").is_dir()
    where = (
        f"Data of {config.clients} simulated clients, all of it on one machine."
        if simulated
        else f"Data of {config.clients} nodes, that never left them."
    )
    return (
        f"{where} Nothing of it is in this folder but the model. Each client kept {config.validation_fraction:.0%} of "
        "its examples to judge models. How many examples there were, and of what kind, is for their owners to say."
    )


def _protection(story: Story, paid: Spent) -> str:
    summed = (
        "The server summed around a ring of hospitals (docs/paillier.md)"
        if story.config.job == RING
        else "The server saw masked vectors and their sum alone (docs/protocol.md)"
    )
    sentences = "\n".join(f"> {sentence}" for sentence in paid.sentences)
    whose = f"\n\n({paid.whose}.)" if paid.whose else ""
    return f"{summed}. Of what the model itself reveals:\n\n{sentences}{whose}"


def _limits(config: RunConfig, stopped: bool) -> str:
    limits = ["- The guarantee is the sentence above and not a word more."]
    if config.privacy == "none":
        limits.append(
            "- Without differential privacy a model can remember single examples: whoever has it may find out who was "
            "in the data."
        )
    limits += [
        "- The accuracy is over all clients' data together; for one client, or a group of people, it may be lower.",
        "- A client that lies can move a sum anywhere within its fixed-point range.",
        "- What it is for, and what it must not be used for, is not written here: add it before you hand it on.",
    ]
    if stopped:
        limits.append(
            "- It was trained until its loss stopped falling: that loss is no unbiased estimate any more."
        )
    return "\n".join(limits)


def _made(story: Story) -> str:
    told = ["Settings are in `config.toml`, what happened in `events.jsonl`, pictures in `report.html`."]
    made_of = story.facts.get("versions")
    if isinstance(made_of, dict):
        told.append("Versions: " + ", ".join(f"{name} {number}" for name, number in made_of.items()) + ".")
    told.append(
        f"Seed {story.config.seed} (of data split, initial model and training order; never of a mask)."
    )
    return " ".join(told)

"""The card of a student, from the ledger of its run: what it is made from, what it cost, how far it can be trusted.

What somebody else wrote (names of models, files, licences) is shown as code or escaped, and no question or answer is
shown at all.
"""

# huggingface_hub leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from elad.errors import InputError
from elad.evaluation.trained import BEST, Trained
from elad.kinds import build
from elad.records import Problem, to_json
from elad.report import known
from elad.report.card_facts import Facts, Form, gather
from elad.report.parts.spending import had_cost
from elad.report.reviews import words
from elad.report.verdict import sentence

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData


def model_card(run: Path, student: Trained, form: Form) -> str:
    """The text of README.md, its metadata in front.

    Raises: InputError where the hub's own library does not read the metadata back as they were meant.
    """
    facts = gather(run, student, form)
    text = files("elad.report").joinpath("model_card.md").read_text(encoding="utf-8")
    return _headed(_metadata(facts), Template(text).substitute(_parts(facts)))


def _parts(facts: Facts) -> dict[str, str]:
    first, row, (who, terms) = facts.first, facts.row, facts.teacher
    warmed = facts.experiment["data"].get("warmup")
    return {
        "name": known.plain(facts.told["name"]),
        "base": known.code(facts.base.name),
        "bought": str(row["questions"]),
        "selector": known.code(facts.experiment["selector"]["kind"]),
        "reviser": known.code(facts.experiment["reviser"]["kind"]),
        "base_licence": facts.base.licence,
        "round": str(row["round"]),
        "last": str(facts.student.last),
        "accuracy": f"{row['accuracy']:.1%}",
        "interval": _range(row),
        "heldout": str(facts.heldout),
        "before": f"{first['accuracy']:.1%} ({_range(first)}){', after the warm-up rows' if warmed else ''}",
        "place": json.dumps(facts.form.place),
        "messages": _question(facts.experiment["task"]),
        "tokens": str(facts.experiment["drafting"]["max_tokens"]),
        "weights": " ".join(_weights(facts)),
        "teacher": who,
        "terms": terms,
        "data": "\n".join(f"- {known.code(one.name)} ({one.role}): {one.licence}" for one in facts.sources),
        "cost": " ".join(_cost(facts)),
        "grader": known.code(facts.experiment["task"]["kind"]),
        "curve": "\n".join(_curve(facts)),
        "control": _control(facts),
        "limits": "\n".join(f"- {line}" for line in _limits(facts)),
        "made": "\n".join(f"- {line}" for line in _made(facts)),
    }


def _range(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{low:.1%} to {high:.1%}"


def _question(task: dict[str, Any]) -> str:
    """A question as the student was asked its own, as a literal of Python that ends no block of code."""
    choices = ("10", "12") if task["kind"] == "choice" else None
    asked = Problem(id="example", question="How many legs do three cats have?", choices=choices)
    turns = [to_json(message) for message in build("elad.tasks", task, "task").messages(asked)]
    return json.dumps(turns, ensure_ascii=False, indent=4).replace("`", "\\u0060")


def _weights(facts: Facts) -> Iterator[str]:
    numbers = facts.student.engine.dtype
    if facts.form.adapter:
        yield "Only the adapters are here (LoRA); transformers adds them to the base model where `peft` is installed."
        if facts.base.hub is None:
            yield (
                f"The base model is no model of the hub but a folder or file called {known.code(facts.base.name)}: set "
                "`base_model_name_or_path` in `adapter_config.json` to where it lies."
            )
    else:
        yield f"All weights are here as safetensors, in {numbers}, in which they were measured."
    if facts.form.gguf:
        yield (
            f"{known.code(facts.form.gguf)} is the same model for llama.cpp, 16 bits a weight; what was measured are "
            "the safetensors."
        )


def _cost(facts: Facts) -> Iterator[str]:
    spent, books = facts.told["spent"], facts.books
    money = f"{spent['money']:.4f} {known.plain(spent['currency'])}" if spent["currency"] else "no money was counted"
    counted = f"{spent['calls']:,} calls to the teacher, {spent['tokens_in']:,} + {spent['tokens_out']:,} tokens"
    yield f"{counted}: {money}. The run took {spent['seconds'] / 3600:.1f} hours."
    if not spent["currency"]:
        yield "The teacher had no price."
    if books.cached:
        how_many = "All" if books.cached == books.replies else f"{books.cached:,} of {books.replies:,}"
        had = f"they had cost {known.plain(had_cost(facts.cached))}"
        yield f"{how_many} replies came from a cache of earlier runs, at no charge to this: {had}."
    if books.lost:
        yield f"{books.lost:,} requests got no reply, and are counted at their worst case."
    if spent["estimated"]:
        yield "Some tokens were counted on this side, as the endpoint did not tell them."
    if facts.told["control"]:
        yield "A control arm is a part of that; it is not in the table below."


def _curve(facts: Facts) -> Iterator[str]:
    currency, tokens_in, tokens_out, money = known.plain(facts.told["spent"]["currency"] or ""), 0, 0, 0.0
    for row in facts.told["rounds"]:
        tokens_in, tokens_out, money = (
            tokens_in + row["tokens_in"],
            tokens_out + row["tokens_out"],
            money + row["money"],
        )
        spent = f"{tokens_in:,} + {tokens_out:,} | {money:.4f} {currency}".rstrip()
        mark = " (this one)" if row["round"] == facts.student.round.round else ""
        yield f"| {row['round']}{mark} | {row['questions']} | {spent} | {row['accuracy']:.1%} | {_range(row)} |"


def _control(facts: Facts) -> str:
    against = facts.told["control"] and facts.told["control"]["comparison"]
    if against:
        return f"Against an arm of the same run that picked at random: {known.plain(sentence(against))}."
    return "No arm that picks at random can be compared with it, so what the picking itself has saved is not known."


def _limits(facts: Facts) -> Iterator[str]:
    student, seed = facts.student, facts.experiment["seed"]
    yield (
        f"One run with one seed ({seed}): an interval tells what {facts.heldout} questions can show of this very "
        "model, not what another seed would have come to."
    )
    if facts.row["interval"][0] <= facts.first["interval"][1]:
        yield "Its accuracy is not clearly above that before anything was bought: their intervals overlap."
    yield "Only answers to such questions were measured: nothing is known of other tasks, of safety, or of bias."
    yield f"Of its answers to the held-out questions {facts.row['parsed']:.1%} could be read; others count as wrong."
    if facts.form.chosen == BEST:
        count = len(facts.told["rounds"])
        yield f"This round was chosen of {count} because its held-out accuracy is the highest, which flatters it."
    elif student.round.round < student.last:
        yield f"The run went on to round {student.last}."
    if facts.told["state"] != "finished":
        yield f"The run has not come to its end: {facts.told['state']}."
    if rule := facts.experiment.get("stopping"):
        yield f"When to stop was decided by a rule ({known.code(rule['kind'])}) that may look at held-out accuracies."
    if facts.base.rounded:
        yield (
            f"The weights of its base model were made from {known.code(facts.base.rounded)}, which rounds them: they "
            "are not quite those of the hub."
        )
    yield "The method follows a paper that could not be read in full: parts of it are a reconstruction."


def _made(facts: Facts) -> Iterator[str]:
    told, training = facts.experiment, facts.experiment["training"]
    heard = words(facts.heard) if facts.heard else "none"
    yield f"reviews by people of what the teacher wrote: it learnt by {heard}"
    yield f"uncertainty of its steps: {known.code(told['uncertainty']['kind'])}"
    lora = told["student"].get("lora")
    how = f"LoRA of rank {lora['rank']}" if lora else "all weights"
    yield (
        f"trained on {facts.row['examples']} examples: {how}, {training['epochs']:g} epochs, learning rate "
        f"{training['learning_rate']:g}, batches of {training['batch_size']}, seed {told['seed']}"
    )
    wanted = ("elad", "torch", "transformers", "peft")
    versions = facts.begun["versions"]
    yield ", ".join(f"{name} {known.shown(versions[name])}" for name in wanted if name in versions)


def _metadata(facts: Facts) -> "ModelCardData":
    from huggingface_hub import EvalResult, ModelCardData

    row, adapter = facts.row, facts.form.adapter
    result = EvalResult(
        task_type="text-generation",
        task_name=f"reasoning ({known.shown(facts.experiment['task']['kind'])})",
        dataset_type="held-out",
        dataset_name=f"held-out questions of the run {known.shown(facts.told['name'])}",
        metric_type="accuracy",
        metric_name="accuracy, greedy decoding",
        metric_value=round(row["accuracy"], 4),
        metric_args={"questions": facts.heldout, "interval_95": [round(bound, 4) for bound in row["interval"]]},
    )
    return ModelCardData(
        base_model=facts.base.hub,
        base_model_relation=("adapter" if adapter else "finetune") if facts.base.hub else None,
        datasets=known.hub_names(facts.begun) or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["elad", "distillation", "reasoning"],
        model_name=known.shown(facts.told["name"]),
        eval_results=[result],
    )


def _headed(data: "ModelCardData", body: str) -> str:
    """The card with its metadata, read back by the hub's library. That asks no server, which knows more rules."""
    from huggingface_hub import ModelCard

    text = f"---\n{data.to_yaml()}\n---\n\n{body}"
    try:
        read = ModelCard(text).data.to_dict()
    except ValueError as error:
        raise InputError(f"the card's metadata are not what the hub expects: {error}") from error
    if read != data.to_dict():
        raise InputError("the card's metadata do not come back as they were written")
    return text

"""The report on half a page."""

from typing import Any

from elad.ledger.events import MAIN
from elad.report.page.document import Part, Prose, Section, Table
from elad.report.page.wording import money, seconds, tokens
from elad.report.parts.spending import had_cost
from elad.report.reviews import line


def section(told: dict[str, Any]) -> Section:
    """The sentence, what a control says of it, and the chief figures."""
    control = told["status"]["control"]
    parts: list[Part] = [Prose(text=told["sentence"])]
    if control:
        parts.append(Prose(text=f"Against a control that picks at random: {control['sentence']}."))
    parts.append(
        Table(title="In short", head=("what", "value"), rows=_facts(told), words=frozenset({0, 1})),
    )
    return Section(name="summary", title="What came of it", parts=parts)


def _facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    status, settings = told["status"], told["asked"]["settings"]
    spent = status["spent"]
    rounds = [row["round"] for row in told["curve"]["arms"].get(MAIN, {"rounds": []})["rounds"]]
    revised = sum(one["outcome"] is not None for one in told["bought"])
    model = settings.get("teacher.model")
    student = settings.get("student.model")
    return [
        ("state", f"{status['state']}: {status['reason']}"),
        ("student", _named(settings["student.engine"], student)),
        ("teacher", _named(settings["teacher.kind"], model)),
        ("rounds measured", f"{len(rounds)} (round 0 is before anything was bought)" if rounds else "none"),
        ("questions", f"{len(told['bought']):,} picked, {revised:,} with a finished revision, all arms"),
        ("reviewed by people", line(told["reviews"])),
        ("asked of it", f"{spent['calls']:,} calls, {tokens(spent)} tokens"),
        ("money", _money(told)),
        ("working time", seconds(spent["seconds"])),
        ("seed", str(told["asked"]["seed"])),
    ]


def _money(told: dict[str, Any]) -> str:
    """What was spent, and where that is nothing for the cache's sake, what its replies had cost."""
    spent, found = told["status"]["spent"], told["spending"]
    every = 0 < found["cached"]["replies"] == found["total"]["replies"]
    cached = f"; all replies came from the cache, and had cost {had_cost(found['cached'])}" if every else ""
    if not spent["currency"]:
        return f"none: the teacher has no price{cached}"
    return f"{money(spent['money'], spent['currency'])}{cached}"


def _named(kind: str, model: str | None) -> str:
    return f"{kind}: {model}" if model else kind

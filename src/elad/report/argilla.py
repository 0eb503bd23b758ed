"""What was bought as a folder that Argilla's SDK loads, for people to look through.

`rg.Dataset.from_disk(path, name=..., workspace=..., client=...)` makes the data set and its records; written for
argilla 2.8, which this package neither needs nor imports. The teacher's work is there as suggestions, which a person
accepts or changes. No text is shown as Markdown: it was written by models.
"""

import json
from pathlib import Path
from typing import Any

from elad.ledger.events import Ledger
from elad.outcomes import Verdict
from elad.protocols import Task
from elad.records import Problem, Revision
from elad.report.rows import Row, rows

_NONE = "none"
"""The answer to which step is wrong where none is."""
_GUIDELINES = (
    "A small model wrote the chain of steps; a teacher found its first wrong step and repaired it. "
    "Say whether the repair holds, which step is the first wrong one, and mend the repaired chain where it is wrong."
)


def write(folder: Path, target: Path) -> int:
    """Writes settings and records of all revisions of a run; gives how many records."""
    (target / ".argilla").mkdir(parents=True)
    with Ledger(folder, write=False) as ledger:
        name = ledger.meta("name")
    _json(
        target / ".argilla" / "dataset.json", {"name": name, "guidelines": _GUIDELINES, "allow_extra_metadata": False}
    )
    count, longest = 0, 1
    with (target / "records.json").open("w", encoding="utf-8") as file:
        for row in rows(folder, _record):
            longest = max(longest, row["steps"])
            file.write(",\n" if count else "[\n")
            file.write(json.dumps(_complete(row), ensure_ascii=False))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    _json(target / ".argilla" / "settings.json", _settings(longest))
    return count


def _record(revision: Revision, problem: Problem, task: Task) -> Row:
    """What a person looks at, and what the teacher said; steps are numbered from 1, as people do."""
    judged = any(verdict is not Verdict.UNJUDGED for verdict in revision.verdicts)
    wrong = (_NONE if judged else None) if revision.first_error is None else str(revision.first_error + 1)
    fields = {"question": task.question(problem), "chain": revision.before, "reason": revision.reason}
    holds = "yes" if revision.outcome.trainable else "no"
    said = {"holds": holds, "first_wrong_step": wrong, "repaired": revision.after}
    return {"fields": fields, "said": said, "steps": len(revision.verdicts)}


def _complete(row: Row) -> Row:
    """The record in Argilla's own form, which has no empty values."""
    provenance = row["provenance"]
    told = {name: provenance[name] for name in ("outcome", "arm", "reviser", "round", "score")}
    metadata = told | {"money": provenance["charge"]["money"]}
    said = {name: value for name, value in row["said"].items() if value is not None}
    return {
        "id": f"{provenance['arm']}-{provenance['round']}-{provenance['problem_id']}",
        "fields": {name: text for name, text in row["fields"].items() if text},
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "suggestions": {
            name: {"value": value, "score": None, "agent": provenance["teacher"]} for name, value in said.items()
        },
        "responses": {},
        "vectors": {},
    }


def _settings(longest: int) -> dict[str, Any]:
    """What is asked of people, `longest` being the steps of the longest chain."""
    steps = [_NONE, *map(str, range(1, longest + 1))]
    return {
        "guidelines": _GUIDELINES,
        "fields": [
            _text("question", "Question"),
            _text("chain", "The student's chain", required=False),
            _text("reason", "The teacher's reason", required=False),
        ],
        "questions": [
            _choice("holds", "Does the repair hold?", ["yes", "no"]),
            _choice("first_wrong_step", "Which step is the first wrong one?", steps, required=False),
            _text("repaired", "The repaired chain", required=False),
        ],
        "metadata": [
            *(_kept(name, {"type": "terms", "values": None}) for name in ("outcome", "arm", "reviser")),
            _kept("round", {"type": "integer", "min": None, "max": None}),
            *(_kept(name, {"type": "float", "min": None, "max": None}) for name in ("score", "money")),
        ],
        "vectors": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _text(name: str, title: str, *, required: bool = True) -> dict[str, Any]:
    settings = {"type": "text", "use_markdown": False}
    return {"name": name, "title": title, "required": required, "settings": settings, "type": "text"}


def _choice(name: str, title: str, options: list[str], *, required: bool = True) -> dict[str, Any]:
    settings = {
        "type": "label_selection",
        "options": [{"text": option, "value": option} for option in options],
        "visible_options": None,
    }
    return {"name": name, "title": title, "required": required, "settings": settings, "type": "label_selection"}


def _kept(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    told = {"visible_for_annotators": True}
    return {"name": name, "title": name, "settings": settings | told, **told}


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

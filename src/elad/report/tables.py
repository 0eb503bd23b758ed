"""What was bought as Parquet: one table, or the folder of a data set that `datasets.load_dataset` reads.

Every column has its type, so that a run without a currency or without a wrong step has the same columns as others.
"""

import importlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

import yaml

from elad.ledger.events import Ledger
from elad.ledger.sessions import last_session
from elad.report import known
from elad.report.rows import SHAPES, Row, rows, whole

_GROUP = 1_000
"""Rows that are held at once."""
_Kind: TypeAlias = "str | list[_Kind] | dict[str, _Kind]"
"""What a column holds: a plain value by its name, a list of one kind, or named values."""


def parquet(folder: Path, target: Path) -> int:
    """All revisions of a run as one table, whatever became of them; gives how many."""
    return _table(target, rows(folder, whole), _schema(_WHOLE))


def dataset(folder: Path, target: Path) -> int:
    """A folder with a table and a configuration for each shape that has rows, and a card; gives how many rows in all.

    `datasets.load_dataset(str(target), "messages")` reads it, and so does the hub.
    """
    target.mkdir()
    counts = {
        name: _table(target / f"{name}.parquet", rows(folder, SHAPES[name]), _schema(_TRL[name])) for name in _TRL
    }
    for name in _TRL:
        if not counts[name]:
            (target / f"{name}.parquet").unlink()
    (target / "README.md").write_text(_card(folder, counts), encoding="utf-8")
    return sum(counts.values())


_MESSAGES: _Kind = [{"role": "text", "content": "text"}]
_CHARGE: _Kind = {
    "calls": "whole",
    "tokens_in": "whole",
    "tokens_cached": "whole",
    "tokens_out": "whole",
    "seconds": "number",
    "money": "number",
    "currency": "text",
    "price_version": "text",
    "estimated": "yes or no",
}
_PROVENANCE: _Kind = {
    "run": "text",
    "round": "whole",
    "arm": "text",
    "teacher": "text",
    "score": "number",
    "problem_id": "text",
    "outcome": "text",
    "first_error": "whole",
    "reviser": "text",
    "requests": ["text"],
    "prompt_versions": ["text"],
    "charge": _CHARGE,
    "reviewer": "text",
    "decision": "text",
}
_TRL: dict[str, dict[str, _Kind]] = {
    "messages": {"messages": _MESSAGES},
    "preference": {
        "prompt": _MESSAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "accepted": "text",
        "repaired_step": "text",
        "wrong_step": "text",
    },
    "stepwise": {"prompt": "text", "completions": ["text"], "labels": ["yes or no"]},
}
_WHOLE: dict[str, _Kind] = {
    "question": "text",
    "gold": "text",
    "before": "text",
    "steps": ["text"],
    "verdicts": ["text"],
    "edit": "text",
    "after": "text",
    "answer": "text",
    "reason": "text",
    "messages": _MESSAGES,
}


def _schema(columns: dict[str, _Kind]) -> Any:
    arrow = importlib.import_module("pyarrow")
    plain = {"text": arrow.string(), "whole": arrow.int64(), "number": arrow.float64(), "yes or no": arrow.bool_()}

    def kind(told: _Kind) -> Any:
        if isinstance(told, str):
            return plain[told]
        if isinstance(told, list):
            return arrow.list_(kind(told[0]))
        return arrow.struct([(name, kind(inner)) for name, inner in told.items()])

    return arrow.schema([(name, kind(told)) for name, told in (columns | {"provenance": _PROVENANCE}).items()])


def _table(target: Path, made: Iterable[Row], schema: Any) -> int:
    """Writes rows, a group at a time; gives how many."""
    arrow = importlib.import_module("pyarrow")
    writer, count = importlib.import_module("pyarrow.parquet").ParquetWriter, 0
    with writer(target, schema) as file:
        for group in _groups(made):
            file.write_table(arrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _groups(made: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(made)
    while group := list(islice(left, _GROUP)):
        yield group


def _card(folder: Path, counts: dict[str, int]) -> str:
    with Ledger(folder, write=False) as ledger:
        told, name = last_session(ledger), ledger.meta("name")
        who, terms = known.teacher(ledger)
        data = known.sources(ledger, told)
    configs = [
        {"config_name": shape, "data_files": [{"split": "train", "path": f"{shape}.parquet"}]}
        for shape, count in counts.items()
        if count
    ]
    head = yaml.safe_dump({"configs": configs, "tags": ["elad", "trl"]}, sort_keys=False)
    return Template(files("elad.report").joinpath("dataset_card.md").read_text(encoding="utf-8")).substitute(
        head=head.strip(),
        name=known.code(name),
        counts="\n".join(f"| `{shape}` | {count:,} |" for shape, count in counts.items()),
        teacher=who,
        terms=terms,
        data="\n".join(f"- {known.code(one.name)} ({one.role}): {one.licence}" for one in data),
    )

"""What was asked: the configuration, seeds, versions, and what changed from session to session."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from elad.ledger.events import Event
from elad.mappings import flat
from elad.report.page.document import Section, Table
from elad.report.page.wording import NONE, brief, count, cut
from elad.report.parts.material import Material

_CHIEF = (
    "task.kind", "student.engine", "student.model", "teacher.kind", "teacher.model", "uncertainty.kind",
    "selector.kind", "reviser.kind", "reviser.judge", "reviser.repair", "objective.kind", "rounds.count",
    "rounds.questions", "control.share", "stopping", "seed",
)  # fmt: skip
_CAPS_AND_PRICES = ("budget.", "teacher.price")
_VALUE_CHARS = 160
_MOST_CHARS = 1000
_MOST_CHANGES = 50


def asked(material: Material) -> dict[str, Any]:
    """Settings by dotted key, the seed, versions and machine of the last session, and what changed before it."""
    sessions, last = material.sessions, material.sessions[-1]
    return {
        "seed": material.settings["seed"],
        "settings": _settings(last),
        "versions": last.payload["versions"],
        "machine": last.payload["machine"],
        "sessions": len(sessions),
        "began": when(sessions[0].at),
        "changes": _changes(sessions),
    }


def when(at: float) -> str:
    """A moment in words, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def section(told: dict[str, Any]) -> Section:
    """What decides what the run does, first its chief settings."""
    found = told["asked"]
    settings: dict[str, Any] = found["settings"]
    chief = [key for key, value in settings.items() if key in _CHIEF or (key.startswith(_CAPS_AND_PRICES) and value)]
    versions = {"machine": f"{found['machine']['system']}, {found['machine']['cpus']} CPUs", **found["versions"]}
    parts = [
        Table(
            title="Chief settings and caps",
            head=("setting", "value"),
            rows=[(key, _put(settings[key])) for key in chief],
            words=frozenset({0, 1}),
        ),
        Table(
            title=f"All {len(settings)} settings",
            head=("setting", "value"),
            rows=[(brief(key), _put(value)) for key, value in settings.items()],
            words=frozenset({0, 1}),
            folded=True,
        ),
        Table(
            title=f"Versions and machine of the last of {count(found['sessions'], 'session')}; the first began "
            f"{found['began']}",
            head=("what", "version"),
            rows=[(brief(name), brief(str(version), _VALUE_CHARS)) for name, version in versions.items()],
            words=frozenset({0, 1}),
            folded=True,
        ),
    ]
    if found["changes"]:
        parts.append(
            Table(
                title="Changed between sessions",
                head=("from", "what", "was", "became"),
                rows=[(one["at"], brief(one["what"]), _put(one["was"]), _put(one["is"])) for one in found["changes"]],
                words=frozenset({0, 1, 2, 3}),
            )
        )
    return Section(name="asked", title="What was asked", parts=parts)


def _settings(session: Event) -> dict[str, Any]:
    """The experiment by dotted key, long values cut. Problems that were given as such are counted and not told."""
    experiment: dict[str, Any] = session.payload["experiment"]
    data = dict(experiment["data"])
    for name in ("pool", "heldout", "warmup"):
        given = [item for item in data.get(name, ()) if not isinstance(item, str)]
        files = [item for item in data.get(name, ()) if isinstance(item, str)]
        data[name] = files + ([f"{len(given)} questions given in Python"] if given else [])
    settings = flat(experiment | {"data": data})
    return {cut(key, _MOST_CHARS): _short(value) for key, value in settings.items()}


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in cast("list[Any]", value)]
    return cut(value, _MOST_CHARS) if isinstance(value, str) else value


def _changes(sessions: Sequence[Event]) -> list[dict[str, Any]]:
    """What each session had otherwise than the one before: settings and versions; the last fifty of such changes."""
    found: list[dict[str, Any]] = []
    before: dict[str, Any] | None = None
    for session in sessions:
        versions = {f"version of {name}": value for name, value in session.payload["versions"].items()}
        now = _settings(session) | versions
        if before is not None:
            keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            found += [{"at": when(session.at), "what": k, "was": before.get(k), "is": now.get(k)} for k in keys]
        before = now
    return found[-_MOST_CHANGES:]


def _put(value: Any) -> str:
    if value in (None, "", [], {}):
        return NONE
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return brief(", ".join(map(str, items)), _VALUE_CHARS)

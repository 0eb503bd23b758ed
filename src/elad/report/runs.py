"""Runs to be compared: what their ledgers tell, put into arms."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.errors import InputError, RunFolderError
from elad.evaluation.curves import Curve
from elad.ledger.budget import share_of
from elad.ledger.events import CONTROL, MAIN, Event, Kind, Ledger, is_held
from elad.records import Charge, Reply, Round, from_json

COSTS = {
    "tokens_out": "teacher output tokens",
    "tokens_in": "teacher input tokens",
    "questions": "questions",
    "money": "money",
}
"""What a curve is held against, and what a person calls it."""

_Settings = Mapping[str, Any]
_SAME = ("task.", "student.", "data.heldout.")
"""What all runs must have alike, and what is below it: `student` is the untrained one, its weights and its numbers."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One run as its ledger tells it, or one arm of a run that has a control."""

    folder: Path
    name: str
    settings: _Settings
    """What decides what it does, by dotted key, without the seed."""
    state: str
    """How it ended, and why."""
    questions: tuple[str, ...]
    currency: str | None
    curve: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Runs that differ in nothing but the seed, by seed."""

    name: str
    runs: tuple[Read, ...]

    @property
    def seeds(self) -> frozenset[int]:
        """The seeds that it was run with."""
        return frozenset(run.curve.seed for run in self.runs)

    def curves(self, seeds: Sequence[int]) -> list[Curve]:
        """The curves of these seeds, in their order."""
        by_seed = {run.curve.seed: run.curve for run in self.runs}
        return [by_seed[seed] for seed in seeds]


def read_arms(folders: Sequence[Path]) -> list[Arm]:
    """The arms of these runs (`arms_of`). A run with a control is two runs, one of each arm.

    Both count in full what they asked alike, as if each had been alone.
    Raises: InputError for a single run without a control, RunFolderError for folders that cannot be compared; it names
    what differs.
    """
    told = [one for folder in folders for one in _told(folder)]
    if len(told) < 2:
        raise InputError("compare needs the folders of at least two runs, or of one with a control")
    paid = {
        event.key: reply.charge
        for one in told
        for event in one.events
        if event.kind is Kind.REPLY and not (reply := from_json(Reply, event.payload)).cached
    }
    return arms_of([_read(one, paid) for one in told])


def arms_of(runs: Sequence[Read]) -> list[Arm]:
    """The arms that runs make, in the order of their first ones.

    Runs of one arm have the same configuration but for the seed. An arm is called by the name of its runs where that
    tells the arms apart, else by the settings in which they differ. Where all runs are of one configuration, those
    that repeat a seed make a second arm, so that a run can be held against a copy of itself.
    Raises: RunFolderError for runs that cannot be compared; it names what differs.
    """
    _refuse_different(runs)
    groups: dict[str, list[Read]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    sets = list(groups.values())
    if len(sets) == 1:
        sets = _copies(sets[0])
    for members in sets:
        _refuse_repeated(members)
    names = _names(sets)
    return [
        Arm(name=name, runs=tuple(sorted(members, key=lambda run: run.curve.seed)))
        for name, members in zip(names, sets, strict=True)
    ]


def read_run(folder: Path) -> Read:
    """The main arm of one run that has ended.

    Raises: RunFolderError for one that is running or has bought nothing, or that took replies from the cache.
    """
    main = next(iter(_told(folder)))
    return _read(main, {})


def state_of(ledger: Ledger) -> tuple[str, str]:
    """How a run that nobody holds has ended, and why."""
    told = [*ledger.events(Kind.STATE), *ledger.events(Kind.SESSION)]
    last = max(told, key=lambda event: event.seq, default=None)
    if last is None or last.kind is Kind.SESSION:
        return "stopped", "the process ended without a word (killed?)"
    return last.payload["state"], last.payload["reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a ledger tells of an arm."""

    folder: Path
    arm: str
    name: str
    settings: dict[str, Any]
    state: str
    events: Sequence[Event]
    """Of its rounds, in order, and the replies of all arms."""


def _told(folder: Path) -> Iterator[_Told]:
    """Each arm of a run."""
    if is_held(folder):
        raise RunFolderError(f"{folder}: is running; compare it when it has ended")
    with Ledger(folder, write=False) as ledger:
        identity, name = ledger.meta("identity"), ledger.meta("name") or ""
        if identity is None:
            raise RunFolderError(f"{folder}: holds no session")
        for arm, settings in _settings(json.loads(identity)).items():
            kinds = ((Kind.GRADE, arm), (Kind.REVISION, arm), (Kind.ROUND, arm), (Kind.REPLY, None))
            events = [event for kind, whose in kinds for event in ledger.of(whose).events(kind)]
            yield _Told(
                folder=folder,
                arm=arm,
                name=name if arm == MAIN else f"{name} {arm}",
                settings=settings,
                state=": ".join(state_of(ledger)),
                events=sorted(events, key=lambda event: event.seq),
            )


def _settings(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What decides what each arm does."""
    share = identity.get("control.share", 0.0)
    if not share:
        return {MAIN: identity}
    count = share_of(identity["rounds.questions"], share)
    without = {key: value for key, value in identity.items() if not key.startswith("selector.")}
    return {
        MAIN: identity | {"rounds.questions": identity["rounds.questions"] - count},
        CONTROL: without | {"rounds.questions": count, "selector.kind": identity["control.arm"]},
    }


def _read(told: _Told, paid: Mapping[str, Charge]) -> Read:
    rounds = {turn.round: (turn, grades, extra) for turn, grades, extra in _rounds(told, paid)}
    if len(rounds) < 2:
        which = "" if told.arm == MAIN else f" ({told.arm})"
        raise RunFolderError(f"{told.folder}{which}: has no round after the baseline; run it to its end first")
    ordered = [rounds[number] for number in sorted(rounds)]
    questions = tuple(sorted(ordered[0][1]))
    charges = [turn.charge + extra for turn, _, extra in ordered]
    costs: dict[str, tuple[float, ...]] = {
        name: tuple(getattr(charge, name) for charge in charges) for name in ("tokens_out", "tokens_in", "money")
    }
    bought = [sum(turn.revisions.values()) for turn, _, _ in ordered]
    costs["questions"] = tuple(sum(bought[: k + 1]) for k in range(len(bought)))
    settings = dict(told.settings)
    return Read(
        folder=told.folder,
        name=told.name,
        state=told.state,
        currency=charges[-1].currency,
        questions=questions,
        curve=Curve(
            seed=settings.pop("seed"),
            costs=costs,
            right=tuple(tuple(grades[question] for question in questions) for _, grades, _ in ordered),
        ),
        settings=settings,
    )


def _rounds(told: _Told, paid: Mapping[str, Charge]) -> Iterator[tuple[Round, dict[str, bool], Charge]]:
    """Each round with its grades, and what replies had cost that others bought: earlier runs, or the other arm.

    A student is graded once: a round that left it as it was has the grades of the one before.
    Raises: RunFolderError where they are not those that the round was written down with.
    """
    by_student: dict[str, dict[str, bool]] = {}
    fresh: dict[str, bool] = {}
    others: dict[str, Event] = {}
    extra = Charge()
    for event in told.events:
        if event.kind is Kind.GRADE:
            grade = event.payload["grade"]
            fresh[grade["problem_id"]] = grade["strict"]
        elif event.kind is Kind.REPLY:
            if event.arm != told.arm:
                others[event.payload["request"]] = event
            elif event.payload.get("cached"):
                extra += _price_of(told.folder, event, paid)
        elif event.kind is Kind.REVISION:
            used = [others.pop(name) for name in dict.fromkeys(event.payload["requests"]) if name in others]
            extra = sum((_price_of(told.folder, one, paid) for one in used), extra)
        else:
            turn = from_json(Round, event.payload)
            grades = by_student.setdefault(turn.student, fresh)
            fresh = {}
            if not grades or abs(sum(grades.values()) / len(grades) - turn.accuracy) > _ROUNDING:
                raise RunFolderError(f"{told.folder}: the grades of round {turn.round} are not all in the ledger")
            yield turn, grades, extra


def _price_of(folder: Path, event: Event, paid: Mapping[str, Charge]) -> Charge:
    known = paid.get(event.key) or from_json(Reply, event.payload).original
    if known is None:
        raise RunFolderError(
            f"{folder}: took replies from the cache at no charge, and none of these runs has paid for them, so what it "
            "would have spent is not known; add the run that bought them, or run it with `teacher.cache: false`"
        )
    return known


def differences(one: Read, other: Read) -> dict[str, list[Any]]:
    """The settings in which two runs differ, by dotted key in order, with the value of each."""
    keys = sorted({*one.settings, *other.settings})
    values = {key: [one.settings.get(key), other.settings.get(key)] for key in keys}
    return {key: both for key, both in values.items() if both[0] != both[1]}


def _refuse_different(runs: Sequence[Read]) -> None:
    """Raises: RunFolderError where students, tasks, held-out questions or currencies differ, naming what does."""
    first = runs[0]
    for run in runs[1:]:
        differing = [key for key in differences(first, run) if f"{key}.".startswith(_SAME)]
        if differing:
            told = ", ".join(_difference(key, first.settings, run.settings) for key in differing)
            raise RunFolderError(f"{first.folder} and {run.folder} cannot be compared: {told}")
        currencies = {one.currency for one in (first, run)} - {None}
        if len(currencies) > 1:
            told = f"their money is in {first.currency} and in {run.currency}"
            raise RunFolderError(f"{first.folder} and {run.folder} cannot be compared: {told}")
    if len(first.questions) < 2:
        raise RunFolderError(f"{first.folder}: has one held-out question; a comparison needs more")


def _difference(key: str, one: _Settings, other: _Settings) -> str:
    if key == "data.heldout":
        return "data.heldout: other held-out questions"
    if key == "student":
        return f"student: other untrained weights or numbers ({one.get(key)} and {other.get(key)})"
    return f"{key}: {one.get(key)!r} and {other.get(key)!r}"


def _copies(runs: Sequence[Read]) -> list[list[Read]]:
    """The runs of one configuration, the n-th of each seed in the n-th set. Raises: RunFolderError for one alone."""
    sets: list[list[Read]] = []
    for run in runs:
        place = next((s for s in sets if run.curve.seed not in {one.curve.seed for one in s}), None)
        if place is None:
            sets.append(place := [])
        place.append(run)
    if len(sets) == 1:
        told = ", ".join(str(run.folder) for run in runs)
        raise RunFolderError(f"nothing to compare: all runs are of one configuration ({told})")
    return sets


def _refuse_repeated(members: Sequence[Read]) -> None:
    seen: dict[int, Path] = {}
    for run in members:
        if run.curve.seed in seen:
            both = f"{seen[run.curve.seed]} and {run.folder}"
            raise RunFolderError(f"{both}: the same configuration and seed twice; give one of them")
        seen[run.curve.seed] = run.folder


def _names(sets: Sequence[Sequence[Read]]) -> list[str]:
    told = [{run.name for run in members} for members in sets]
    if all(len(names) == 1 for names in told) and len({name for names in told for name in names}) == len(sets):
        return [next(iter(names)) for names in told]
    settings = [members[0].settings for members in sets]
    every = {key for one in settings for key in one}
    differing = sorted(key for key in every if len({json.dumps(one.get(key)) for one in settings}) > 1)
    if not differing:
        return [next(iter(told[0]))] + [f"{next(iter(told[0]))} (copy {n})" for n in range(1, len(sets))]
    kinds = [key for key in differing if key.endswith(".kind")]
    heads = tuple(key.removesuffix("kind") for key in kinds)
    rest = [key for key in differing if key not in kinds and not key.startswith(heads)]
    return [" ".join([*(str(one.get(k)) for k in kinds), *(f"{k}={one.get(k)}" for k in rest)]) for one in settings]

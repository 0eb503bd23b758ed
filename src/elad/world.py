"""An experiment opened: its data read, its ports loaded, its ledger held."""

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from elad.errors import ConfigError, DataError, RefusedError, RunFolderError
from elad.experiment import Experiment
from elad.ledger.account import Account
from elad.ledger.cache import Cache, cache_folder
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.ledger.reconcile import price_tables
from elad.ledger.trail import reply_lengths, settle_earlier
from elad.progress import Advance, Progress, Silent
from elad.protocols import Student, Task, Teacher
from elad.purchase import Purchase
from elad.records import Problem, digest, to_json
from elad.tasks.reading import read, refuse_overlap, refuse_taken_ids, refuse_unreadable

T = TypeVar("T")

RECORDED_PACKAGES = ("elad", "torch", "transformers", "peft", "openai", "xllamacpp", "pydantic")
_WORTH_TELLING_SECONDS = 0.05


class OutOfTime(Exception):
    """The cap on seconds is reached: nothing more is begun, and what is done is kept."""


@dataclass(kw_only=True)
class World:
    """What a round needs at hand. `student` is the newest one; everything else stays."""

    experiment: Experiment
    ledger: Ledger
    base: Student
    student: Student
    teacher: Teacher
    pool: Sequence[Problem]
    heldout: Sequence[Problem]
    warmup: Sequence[Problem]
    progress: Progress
    account: Account
    cache: Cache | None
    elapsed: Callable[[], float]
    """Working seconds of the run so far, over all sessions."""
    recalled: Ledger | None = None
    """The ledger of another run whose work is taken over where it is the same."""
    exhausted: str | None = None
    """Why no more questions are bought, in words: the cap that was reached, or the end of the pool."""
    too_long: int = 0
    """Rows so far that are over `training.max_length`."""

    @property
    def task(self) -> Task:
        """What a question is."""
        return self.experiment.task

    @property
    def out_of_time(self) -> bool:
        """Whether the cap on seconds is reached."""
        cap = self.experiment.budget.seconds
        return cap is not None and self.elapsed() >= cap

    def check_time(self) -> None:
        """Asked before each piece of work that is begun. Raises: OutOfTime when the cap on seconds is reached."""
        if self.out_of_time:
            self.exhausted = f"budget reached: seconds: {self.experiment.budget.seconds:g}"
            raise OutOfTime(self.exhausted)

    @classmethod
    def open(
        cls,
        experiment: Experiment,
        folder: Path,
        progress: Progress | None = None,
        recalled: Ledger | None = None,
    ) -> "World":
        """Reads, checks and loads everything first; the folder is touched last.

        Raises: InputError for data or configuration that cannot be used, RefusedError for a teacher
        that cannot do what the reviser needs, RunFolderError for a folder of another run.
        """
        pool, heldout, warmup = read_data(experiment)
        with ExitStack() as opened:
            teacher = experiment.teacher.open()
            opened.callback(teacher.close)
            _refuse_mismatch(experiment, teacher)
            base = open_student(experiment)
            cache = Cache(cache_folder(), teacher.scope) if teacher.scope else None
            if cache:
                opened.callback(cache.close)
            ledger = opened.enter_context(Ledger(folder, write=True))
            prices = price_tables(recalled) if recalled else []
            _claim(ledger, experiment, {"pool": pool, "heldout": heldout, "warmup": warmup}, prices)
            elapsed = _clock(ledger)
            account = _account(experiment, ledger, teacher, progress or Silent(), elapsed)
            opened.pop_all()
        return cls(
            experiment=experiment,
            ledger=ledger,
            base=base,
            student=base,
            teacher=teacher,
            pool=pool,
            heldout=heldout,
            warmup=warmup,
            progress=progress or Silent(),
            account=account,
            cache=cache,
            elapsed=elapsed,
            recalled=recalled,
        )

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes down how the session ended, whatever ended it, and lets go of everything."""
        state, reason = "finished", self.exhausted or "all rounds done"
        if kind is not None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            state, reason = ("stopped", "interrupted") if interrupted else ("failed", f"{kind.__name__}: {error}")
        # What keeps a student from being saved may keep the ledger from being written to: what is raised already tells.
        unwritable = kind is not None and issubclass(kind, RunFolderError)
        try:
            with suppress(RunFolderError) if unwritable else nullcontext():
                payload = {"state": state, "reason": reason[:500]}
                self.ledger.append(Kind.STATE, [(str(time.time_ns()), payload)], round=-1)
        finally:
            self.teacher.close()
            if self.cache:
                self.cache.close()
            self.ledger.__exit__(None, None, None)

    def purchase(self, number: int) -> Purchase:
        """A counter for the requests of one round."""
        note = self.progress.note
        return Purchase(self.teacher, self.ledger, self.account, self.cache, number=number, note=note)

    def known(self, kind: Kind, key: str, number: int) -> Any | None:
        """The payload of an event of this run, or of the run that it recalls; None where there is neither."""
        payload = self.ledger.get(kind, key)
        if payload is None and self.recalled is not None:
            payload = self.recalled.get(kind, key)
            if payload is not None:
                self.ledger.append(kind, [(key, payload)], round=number)
        return payload

    @contextmanager
    def stage(self, number: int, name: str, total: int) -> Generator[Advance]:
        """A stage on the progress display; its time goes into the ledger when it is left in good order, or out of time.

        Reading a finished stage back on resume takes next to nothing and is not written down.
        """
        started = time.monotonic()
        try:
            with self.progress.stage(number, name, total) as advance:
                yield advance
        except OutOfTime:
            self._took(number, name, started)
            raise
        self._took(number, name, started)

    def _took(self, number: int, name: str, started: float) -> None:
        seconds = round(time.monotonic() - started, 3)
        if seconds >= _WORTH_TELLING_SECONDS:
            payload = {"stage": name, "seconds": seconds}
            self.ledger.append(Kind.STAGE, [(str(time.time_ns()), payload)], round=number)

    def remembered(  # noqa: PLR0913 - one shape for all stages
        self,
        kind: Kind,
        items: Sequence[T],
        key: Callable[[T], str],
        make: Callable[[Sequence[T]], list[Any]],
        *,
        number: int,
        chunk: int,
        stage: str,
    ) -> Iterator[Any]:
        """The payload of each item's event, made and appended where the ledger has none.

        They are read one by one, when all are there: a pool's worth of JSON would take several times what it tells.
        Chunks are cut from all items, not from the missing ones, and are appended whole: a run
        resumed after a kill batches as the first one did, so that its numbers are the same.
        Raises: OutOfTime before a chunk that would be made after the cap on seconds.
        """
        keys = [key(item) for item in items]
        with self.stage(number, stage, len(items)) as advance:
            for start in range(0, len(items), chunk):
                part = range(start, min(start + chunk, len(items)))
                missing = [i for i in part if self.known(kind, keys[i], number) is None]
                if missing:
                    self.check_time()
                    made = dict(zip(part, make([items[i] for i in part]), strict=True))
                    fresh = {keys[i]: made[i] for i in missing}
                    self.ledger.append(kind, fresh.items(), round=number)
                advance(len(part))
        return (self.ledger.get(kind, key) for key in keys)


def open_student(experiment: Experiment) -> Student:
    """The untrained student. Raises: ConfigError where a draft would leave no room for a question."""
    student, wanted = experiment.student.open(), experiment.drafting.max_tokens
    if student.context is not None and wanted >= student.context:
        room = f"{wanted} leaves no room for a question in the student's context of {student.context} tokens"
        raise ConfigError(f"drafting.max_tokens: {room}")
    return student


def read_data(experiment: Experiment) -> tuple[list[Problem], list[Problem], list[Problem]]:
    """Pool, held-out and warm-up questions. Raises: DataError where they cannot be used together."""
    data = experiment.data
    pool = _problems(experiment, data.pool, data.limit.pool)
    heldout = _problems(experiment, data.heldout, data.limit.heldout)
    warmup = _problems(experiment, data.warmup, None)
    refuse_overlap(pool, heldout)
    refuse_overlap(warmup, heldout)
    for problem in heldout:
        if problem.answer is None:
            raise DataError(f"held-out question {problem.id!r} has no answer to be graded by")
    for problem in warmup:
        if problem.rationale is None or problem.answer is None:
            raise DataError(f"warm-up question {problem.id!r} needs a rationale and an answer")
    for name, problems in (("pool", pool), ("heldout", heldout), ("warmup", warmup)):
        files = [source for source in getattr(data, name) if isinstance(source, str)]
        refuse_unreadable(problems, experiment.task, f"data.{name}: {', '.join(files)}" if files else f"data.{name}")
    return pool, heldout, warmup


def _problems(experiment: Experiment, given: Sequence[str | Problem], limit: int | None) -> list[Problem]:
    problems = [item for item in given if isinstance(item, Problem)]
    sources = [item for item in given if isinstance(item, str)]
    if sources:
        problems += read(sources, columns=experiment.data.columns, limit=limit, base=experiment.base)
    refuse_taken_ids(problems)
    return problems[:limit]


def _claim(
    ledger: Ledger, experiment: Experiment, data: dict[str, list[Problem]], recalled_prices: Sequence[Price]
) -> None:
    """Ties a new folder to the experiment, or refuses one that belongs to another.

    Raises: RunFolderError that names every key that differs, or both currencies.
    """
    identity = experiment.identity() | {
        f"data.{name}": digest([to_json(problem) for problem in problems]) for name, problems in data.items()
    }
    was = ledger.meta("identity")
    if was is None:
        ledger.set_meta({"identity": json.dumps(identity), "name": experiment.name})
    else:
        old = json.loads(was)
        differing = [key for key in sorted({*old, *identity}) if old.get(key) != identity.get(key)]
        if differing:
            told = ", ".join(f"{key}: {old.get(key)!r} -> {identity.get(key)!r}" for key in differing)
            raise RunFolderError(f"{ledger.folder}: was begun with another configuration ({told})")
    _refuse_currency(ledger, experiment)
    session: dict[str, Any] = {"experiment": experiment.resolved(), "base": str(experiment.base)}
    session |= {"versions": _versions(), "machine": _machine()}
    if recalled_prices:
        session["recalled_prices"] = [to_json(price) for price in recalled_prices]
    ledger.append(Kind.SESSION, [(str(time.time_ns()), session)], round=-1)


def _refuse_currency(ledger: Ledger, experiment: Experiment) -> None:
    """A price may change between sessions, its currency may not: the money of a run is one sum.

    Raises: RunFolderError where anything was asked at a price in another currency.
    """
    price: Price | None = getattr(experiment.teacher, "price", None)
    asked = next(ledger.events(Kind.REQUEST), None) is not None
    others = {was.currency for was in price_tables(ledger)} - {price.currency} if price and asked else set[str]()
    if price and others:
        raise RunFolderError(
            f"{ledger.folder}: its money is counted in {', '.join(sorted(others))}, teacher.price is in "
            f"{price.currency}; give the price in {min(others)}, or take another folder"
        )


def _clock(ledger: Ledger) -> Callable[[], float]:
    """Working seconds of all sessions, this one counted from now on."""
    before, began = ledger.elapsed_seconds(), time.monotonic()
    return lambda: before + time.monotonic() - began


def _account(
    experiment: Experiment, ledger: Ledger, teacher: Teacher, progress: Progress, elapsed: Callable[[], float]
) -> Account:
    """What is left of the budget; requests that an earlier session has heard nothing of are counted."""
    account = Account(
        experiment.budget,
        spent=ledger.spent(),
        elapsed=elapsed,
        warn=progress.note,
        lengths=reply_lengths(ledger),
    )
    left = settle_earlier(ledger, account, teacher, -1)
    if left:
        how = "will be asked again" if teacher.repeatable else "are counted at their worst case"
        progress.note(f"{left} requests of an earlier session got no reply: they {how}")
    return account


def _refuse_mismatch(experiment: Experiment, teacher: Teacher) -> None:
    lacking = sorted(experiment.reviser.needs - teacher.serves)
    if lacking:
        served = ", ".join(sorted(teacher.serves))
        raise RefusedError(f"reviser: needs a teacher that can {', '.join(lacking)}; {teacher.id} serves {served}")
    if experiment.budget.money is not None and not teacher.priced:
        raise RefusedError(f"budget.money: a cap cannot hold for {teacher.id}, which has no price; give teacher.price")


def _versions() -> dict[str, str]:
    found: dict[str, str] = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "cpus": os.cpu_count()}

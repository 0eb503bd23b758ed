"""An experiment opened: its data read, its ports loaded, its ledger held."""

import time
from array import array
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from elad.abilities import Attending, Guides
from elad.claim import claim
from elad.errors import ConfigError, RefusedError, RunFolderError
from elad.experiment import Experiment
from elad.learning import Need
from elad.ledger.account import Account
from elad.ledger.cache import Cache, cache_folder
from elad.ledger.events import CONTROL, MAIN, Event, Kind, Ledger
from elad.ledger.people import Review
from elad.ledger.reconcile import price_tables
from elad.ledger.trail import reply_lengths, settle_earlier
from elad.progress import Advance, Named, Progress, Silent
from elad.protocols import Student, Task, Teacher
from elad.purchase import Purchase
from elad.questions import read_data
from elad.records import Problem, Round
from elad.views import View

T = TypeVar("T")

_WORTH_TELLING_SECONDS = 0.05


class OutOfTime(Exception):
    """The cap on seconds is reached: nothing more is begun, and what is done is kept."""


@dataclass(kw_only=True)
class World:
    """What a round of one arm needs at hand. `student` is the newest one; everything else stays."""

    experiment: Experiment
    """The arm's part of it."""
    ledger: Ledger
    """As the arm sees it."""
    base: Student
    guide: str | None
    """The fingerprint of the guide as it came: a round that needs it loads it, and nobody holds it in between."""
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
    recalled: Sequence[Ledger] = ()
    """Those of other arms and runs, whose work is taken over where it is the same."""
    control: "World | None" = None
    """The arm beside this one."""
    rounds: list[Round] = field(default_factory=list[Round])
    exhausted: str | None = None
    """Why no more questions are bought, in words: the cap that was reached, the end of the pool, or a stopping rule."""
    late: str | None = None
    """Where the cap on seconds ended all arms in the midst of this one's work, that cap in words."""
    too_long: int = 0
    """Rows so far that are over `training.max_length`."""
    heard: Mapping[str, Review] = field(default_factory=dict[str, Review])
    """What reviewers have said of revisions, by their key, as the newest student was trained by it."""
    learnt: int = 0
    """Rows so far that were learnt from."""
    unfit: list[Event] = field(default_factory=list[Event])
    """Drafts so far, of any arm, of questions that do not fit the student's context."""
    drafts_read: int = 0
    """The last draft in the ledger that was looked at for these."""

    @property
    def task(self) -> Task:
        """What a question is."""
        return self.experiment.task

    @property
    def arms(self) -> "tuple[World, ...]":
        """This arm and the control."""
        return (self, self.control) if self.control else (self,)

    @property
    def by_lot(self) -> bool:
        """Whether its questions are drawn before they are drafted: a control has no use for the other drafts."""
        return self.ledger.arm == CONTROL

    @property
    def out_of_time(self) -> bool:
        """Whether the cap on seconds is reached."""
        cap = self.experiment.budget.seconds
        return cap is not None and self.elapsed() >= cap

    def check_time(self) -> None:
        """Asked before each piece of work that is begun. Raises: OutOfTime when the cap on seconds is reached."""
        if self.out_of_time:
            self.late = f"budget reached: seconds: {self.experiment.budget.seconds:g}"
            raise OutOfTime(self.late)

    @classmethod
    def open(
        cls,
        experiment: Experiment,
        folder: Path,
        progress: Progress | None = None,
        recalled: Sequence[Ledger] = (),
        *,
        as_bought: bool = False,
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
            guide = _looked_at(experiment, base)
            cache = Cache(cache_folder(), teacher.scope) if teacher.scope else None
            if cache:
                opened.callback(cache.close)
            ledger = opened.enter_context(Ledger(folder, write=True))
            tables = [table for one in recalled for table in price_tables(one)]
            prices = [table for place, table in enumerate(tables) if table not in tables[:place]]
            models = {"student": base.id} | ({"guide": guide} if guide else {})
            claim(ledger, experiment, models, {"pool": pool, "heldout": heldout, "warmup": warmup}, prices)
            opened.push(_end_by_error(ledger))
            told, elapsed, parts = progress or Silent(), _clock(ledger), experiment.arms()
            if isinstance(teacher, Attending):
                teacher.attend(partial(ledger.get, Kind.ANSWER), told.note)
            lenders = [*([ledger] if len(parts) > 1 else []), *recalled]
            main = cls(
                experiment=parts[MAIN],
                ledger=ledger.of(MAIN),
                base=base,
                guide=guide,
                student=base,
                teacher=teacher,
                pool=pool,
                heldout=heldout,
                warmup=warmup,
                progress=told,
                account=_account(parts[MAIN], ledger.of(MAIN), teacher, told, elapsed, as_bought),
                cache=cache,
                elapsed=elapsed,
                recalled=lenders,
            )
            if CONTROL in parts:
                main.control = main._beside(parts[CONTROL], CONTROL)
            opened.pop_all()
        return main

    def _beside(self, experiment: Experiment, arm: str) -> "World":
        """Another arm of the same run, with an account and a student of its own."""
        ledger, progress = self.ledger.of(arm), Named(self.progress, arm)
        account = _account(experiment, ledger, self.teacher, progress, self.elapsed, self.account.as_bought)
        mine = {"experiment": experiment, "ledger": ledger, "progress": progress, "account": account}
        return replace(self, **mine, rounds=[])

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes down how the session ended, whatever ended it, and lets go of everything."""
        try:
            _write_end(self.ledger, error, self._end())
        finally:
            self.teacher.close()
            if self.cache:
                self.cache.close()
            self.ledger.__exit__(None, None, None)

    def _end(self) -> str:
        """Why nothing more is bought, in words; of each arm where they differ."""
        if late := next((arm.late for arm in self.arms if arm.late), None):
            return late
        ends = {arm.ledger.arm: arm.exhausted or "all rounds done" for arm in self.arms}
        same = len(set(ends.values())) == 1
        return ends[MAIN] if same else "; ".join(f"{arm}: {why}" for arm, why in ends.items())

    def purchase(self, number: int) -> Purchase:
        """A counter for the requests of one round."""
        note = self.progress.note
        return Purchase(self.teacher, self.ledger, self.account, self.cache, number=number, note=note)

    def known(self, kind: Kind, key: str, number: int) -> Any | None:
        """The payload of an event of this arm, or of those that it recalls; None where there is none."""
        payload = self.ledger.get(kind, key)
        if payload is not None:
            return payload
        payload = next((found for one in self.recalled if (found := one.get(kind, key)) is not None), None)
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
        beside: Callable[[], Iterable[tuple[Kind, str, Any]]] = tuple,
    ) -> Sequence[Any]:
        """The payload of each item's event, made and appended where the ledger has none.

        `beside` gives events of other kinds that were made with the last chunk, and are appended with it.

        Neither items nor payloads are held, of each only eight bytes: a pool's worth of them would take gigabytes.
        `key` gives a digest.
        Chunks are cut from all items, not from the missing ones, and are appended whole: a run
        resumed after a kill batches as the first one did, so that its numbers are the same.
        Raises: OutOfTime before a chunk that would be made after the cap on seconds.
        """
        keys = array("Q", (int(key(item), 16) for item in items))
        with self.stage(number, stage, len(items)) as advance:
            for start in range(0, len(items), chunk):
                part = range(start, min(start + chunk, len(items)))
                named = {i: f"{keys[i]:016x}" for i in part}
                missing = [i for i in part if self.known(kind, named[i], number) is None]
                if missing:
                    self.check_time()
                    made = dict(zip(part, make([items[i] for i in part]), strict=True))
                    fresh = {named[i]: made[i] for i in missing}
                    self.ledger.append(kind, fresh.items(), round=number, beside=beside())
                advance(len(part))
        return View(keys, lambda name: self.ledger.get(kind, f"{name:016x}"))


def open_student(experiment: Experiment) -> Student:
    """The untrained student. Raises: ConfigError where a draft would leave no room for a question."""
    student = experiment.student.open()
    _refuse_narrow(student, experiment, "the student's")
    return student


def _looked_at(experiment: Experiment, student: Student) -> str | None:
    """The fingerprint of the untrained guide, None where there is none; it is let go of again.

    Raises: ConfigError where its predictions are wanted and its engine does not show them; StudentError where they
    are of other tokens than the student's.
    """
    if experiment.guide is None:
        return None
    guide = experiment.guide.student.open()
    _refuse_narrow(guide, experiment, "the guide's")
    if Need.GUIDE in experiment.objective.needs:
        if not isinstance(guide, Guides):
            engine = experiment.guide.resolved()["student"]["engine"]
            raise ConfigError(f"guide.student: {engine!r} does not show its predictions; take `engine: transformers`")
        guide.refuse_other_tokens(student)
    return guide.id


def _refuse_narrow(student: Student, experiment: Experiment, whose: str) -> None:
    wanted = experiment.drafting.max_tokens
    if student.context is not None and wanted >= student.context:
        room = f"{wanted} leaves no room for a question in {whose} context of {student.context} tokens"
        raise ConfigError(f"drafting.max_tokens: {room}")


def _clock(ledger: Ledger) -> Callable[[], float]:
    """Working seconds of all sessions, this one counted from now on."""
    before, began = ledger.elapsed_seconds(), time.monotonic()
    return lambda: before + time.monotonic() - began


def _end_by_error(ledger: Ledger) -> Callable[[object, BaseException | None, object], None]:
    """The way out of a session that cannot begin."""
    return lambda _kind, error, _trace: _write_end(ledger, error, "")


def _write_end(ledger: Ledger, error: BaseException | None, reason: str) -> None:
    """Writes down how the session ended: by an error, or without one for this reason."""
    state = "finished"
    if error is not None:
        interrupted = isinstance(error, KeyboardInterrupt)
        state, reason = ("stopped", "interrupted") if interrupted else ("failed", f"{type(error).__name__}: {error}")
    # What keeps a student from being saved may keep the ledger from being written to: what is raised already tells.
    with suppress(RunFolderError) if isinstance(error, RunFolderError) else nullcontext():
        payload = {"state": state, "reason": reason[:500]}
        ledger.append(Kind.STATE, [(str(time.time_ns()), payload)], round=-1)


def _account(
    experiment: Experiment,
    ledger: Ledger,
    teacher: Teacher,
    progress: Progress,
    elapsed: Callable[[], float],
    as_bought: bool,
) -> Account:
    """What is left of the budget; requests that an earlier session has heard nothing of are counted."""
    account = Account(
        experiment.budget,
        spent=ledger.spent(as_bought=as_bought),
        elapsed=elapsed,
        warn=progress.note,
        lengths=reply_lengths(ledger, as_bought=as_bought),
        as_bought=as_bought,
    )
    held, lost = settle_earlier(ledger, account, teacher, -1)
    for count, how in ((held, "will be asked again"), (lost, "are counted at their worst case")):
        if count:
            progress.note(f"{count} requests of an earlier session got no reply: they {how}")
    return account


def _refuse_mismatch(experiment: Experiment, teacher: Teacher) -> None:
    lacking = sorted(experiment.reviser.needs - teacher.serves)
    if lacking:
        served = ", ".join(sorted(teacher.serves))
        raise RefusedError(f"reviser: needs a teacher that can {', '.join(lacking)}; {teacher.id} serves {served}")
    refuse_unpriced(experiment, priced=teacher.priced)


def refuse_unpriced(experiment: Experiment, *, priced: bool) -> None:
    """Raises: RefusedError for a cap on money where it is not known what the teacher costs."""
    if experiment.budget.money is not None and not priced:
        raise RefusedError("budget.money: a cap cannot hold for a teacher that has no price; give teacher.price")

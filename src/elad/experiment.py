"""The one configuration: a typed value, from YAML or Python. Unknown keys are refused with near matches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    ValidationError,
    model_validator,
)

from elad.errors import ConfigError, nearest, require
from elad.kinds import base_of, build, describe, reasons
from elad.learning import AdaptiveFeed, Feed, Need, Objective
from elad.ledger.budget import Budget, share_of
from elad.ledger.events import CONTROL, MAIN
from elad.mappings import flat, overridden, read_mapping
from elad.protocols import (
    Gradual,
    Guided,
    Ranking,
    Reviser,
    Selector,
    Stopping,
    StudentSettings,
    Suited,
    Task,
    TeacherSettings,
    Uncertainty,
)
from elad.records import Problem, Sampling
from elad.settings import Training


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Limit(_Section):
    """How many rows are read at most; None reads all."""

    pool: int | None = Field(default=None, ge=1)
    heldout: int | None = Field(default=None, ge=1)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Data(_Section):
    """Where questions come from: paths, `datasets:NAME[:CONFIG[:SPLIT]]`, or problems themselves."""

    pool: Annotated[tuple[str | Problem, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    heldout: Annotated[tuple[str | Problem, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    warmup: Annotated[tuple[str | Problem, ...], BeforeValidator(_as_list)] = ()
    """Rows with a rationale that every arm trains on before round 1, to learn the format."""
    columns: dict[str, str] = {}
    """Our column names to those of the files."""
    limit: Limit = Limit()


class Rounds(_Section):
    """How often the loop turns, and how many questions it buys a turn."""

    count: int = Field(default=3, ge=1)
    questions: int = Field(default=40, ge=1)


class Drafting(_Section):
    """How explanations are drawn, in drafting (temperature 0: the student's own best) and evaluation."""

    max_tokens: int = Field(default=160, ge=8)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    most_steps: int = Field(default=10, ge=1)
    """A chain of more steps has its surplus merged."""


class Prefilter(_Section):
    """A first score that costs nothing, the surprise of a draft's own tokens: only the highest get step scores."""

    keep: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    """So many times what the round buys; None scores every draft."""


class Adaptive(_Section):
    """Samples only where they can matter: the picks are those of all samples."""

    few: int | None = Field(default=None, ge=1)
    """So many samples at first, and all only of chains that may still be picked; None draws all at once."""


class Control(_Section):
    """An arm beside the main one that differs in nothing but who picks; both yield a comparison in one run."""

    arm: Literal["random"] = "random"
    """The kind of its selector."""
    share: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Its share of the questions of each round and of each cap; 0 is no control."""


def _strategy(room: str, where: str, tag: str = "kind", *, optional: bool = False) -> PlainValidator:
    return PlainValidator(
        lambda value, info: (
            None if optional and value is None else build(room, value, where, tag=tag, base=base_of(info))
        )
    )


class Guide(_Section):
    """A model beside the student whose own predictions an objective learns from: a mentor, or an open teacher.

    It reads the student's tokens. With `training` it first learns from all that was bought, in each round from its
    beginning; with `samples` its own explanations of what was bought are learnt from too, where they end right.
    """

    student: Annotated[StudentSettings, _strategy("elad.students", "guide.student", "engine")]
    training: Training | None = None
    samples: int = Field(default=0, ge=0)
    """Explanations that it draws of each question that was bought and has a gold answer."""
    temperature: float = Field(default=0.7, gt=0, allow_inf_nan=False)

    def resolved(self) -> dict[str, Any]:
        """Every key with its value as plain JSON values."""
        return self.model_dump(mode="json", exclude={"student"}) | {"student": describe(self.student, tag="engine")}


_WAYS_TO_THE_TEACHER = tuple(
    f"teacher.{key}"
    for key in (
        "base_url", "api_key_env", "api_key_file", "channel", "concurrency", "timeout_seconds", "attempts", "price",
        "idempotent", "cache", "tokenizer",
    )
)  # fmt: skip


def _folder_name(name: str) -> str:
    usable = bool(name) and not name.startswith(".") and name.isprintable() and not {*"/\\"} & {*name}
    require(usable, "name", "a plain name for a folder, without slashes or a dot in front", repr(name))
    return name


class Experiment(_Section):
    """Everything that decides what a run does."""

    name: Annotated[str, AfterValidator(_folder_name)] = "run"
    """The run folder is called so where none is given."""
    data: Data
    task: Annotated[Task, _strategy("elad.tasks", "task")]
    student: Annotated[StudentSettings, _strategy("elad.students", "student", "engine")]
    teacher: Annotated[TeacherSettings, _strategy("elad.teachers", "teacher")]
    uncertainty: Annotated[Uncertainty, _strategy("elad.uncertainty", "uncertainty")] = Field(
        default_factory=lambda: build("elad.uncertainty", "elad", "uncertainty")
    )
    selector: Annotated[Selector, _strategy("elad.selection", "selector")] = Field(
        default_factory=lambda: build("elad.selection", "top", "selector")
    )
    reviser: Annotated[Reviser, _strategy("elad.revision", "reviser")] = Field(
        default_factory=lambda: build("elad.revision", "first_error", "reviser")
    )
    objective: Annotated[Objective, _strategy("elad.training.objectives", "objective")] = Field(
        default_factory=lambda: build("elad.training.objectives", "sft", "objective")
    )
    feed: Annotated[Feed | AdaptiveFeed | None, _strategy("elad.training.feeds", "feed", optional=True)] = None
    """What has a say in what each training batch is made of; None takes the rows as they are."""
    guide: Guide | None = None
    edited_weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """How many times the tokens of a repaired step count where a student learns; None: as all others."""
    drafting: Drafting = Drafting()
    prefilter: Prefilter = Prefilter()
    adaptive: Adaptive = Adaptive()
    training: Training = Training()
    rounds: Rounds = Rounds()
    budget: Budget = Budget()
    stopping: Annotated[Stopping | None, _strategy("elad.stopping", "stopping", optional=True)] = None
    """When to stop before the rounds are done; None goes on to their end, or that of the budget."""
    control: Control = Control()
    seed: int = 0
    base: Annotated[Path, SkipValidation] = Field(default=Path(), exclude=True)
    """Paths are relative to this folder: that of the file."""

    @model_validator(mode="after")
    def _spares_something(self) -> "Experiment":
        if self.prefilter.keep is not None and not self.selector.needs_scores:
            kind = describe(self.selector)["kind"]
            raise ConfigError(f"prefilter.keep: spares scores, and the selector {kind!r} needs none; leave it out")
        return self

    @model_validator(mode="after")
    def _spares_samples(self) -> "Experiment":
        if self.adaptive.few is None:
            return self
        if not isinstance(self.selector, Ranking):
            kind = describe(self.selector)["kind"]
            raise ConfigError(f"adaptive.few: the selector {kind!r} does not rank by the aggregate; leave it out")
        if not isinstance(self.uncertainty, Gradual):
            kind = describe(self.uncertainty)["kind"]
            raise ConfigError(f"adaptive.few: the uncertainty {kind!r} cannot begin with few samples; leave it out")
        self.uncertainty.few(self.adaptive.few)
        return self

    @model_validator(mode="after")
    def _stops_by_scores(self) -> "Experiment":
        if self.stopping and self.stopping.needs_scores and not self.selector.needs_scores:
            rule, kind = describe(self.stopping)["kind"], describe(self.selector)["kind"]
            raise ConfigError(f"stopping: {rule!r} goes by scores, and the selector {kind!r} needs none; take another")
        return self

    @model_validator(mode="after")
    def _taught(self) -> "Experiment":
        """Raises: ConfigError where the objective cannot be told what it needs, or is told what it does not."""
        kind, needs = describe(self.objective)["kind"], self.objective.needs
        asked = isinstance(self.reviser, Guided) and self.reviser.guided
        if asked and self.guide is None:
            reviser = describe(self.reviser)["kind"]
            raise ConfigError(f"reviser: {reviser!r} asks what another model would say; say which: guide.student")
        if asked and self.guide and self.guide.training:
            raise ConfigError("guide.training: the reviser asks it before it has learnt anything; leave it out")
        if Need.GUIDE in needs and self.guide is None:
            raise ConfigError(f"objective: {kind!r} learns from another model's predictions; say which: guide.student")
        if self.guide and Need.GUIDE not in needs and not (asked or self.guide.samples):
            raise ConfigError(f"guide: is used by no one: the objective {kind!r} does not look at it; leave it out")
        if self.guide and self.guide.training and self.guide.training.warm_start:
            raise ConfigError("guide.training.warm_start: a guide begins anew in each round; leave it out")
        if Need.PAIRS in needs and self.data.warmup and not self.training.warm_start:
            raise ConfigError(
                f"objective: {kind!r} learns from pairs, and warm-up rows are none, so that each round would begin "
                "without what they taught; set training.warm_start: true"
            )
        if self.feed and needs & {Need.PAIRS, Need.REFERENCE}:
            raise ConfigError(f"feed: makes rows anew, and the objective {kind!r} learns from those that were bought")
        if isinstance(self.feed, AdaptiveFeed) and not self.training.patience:
            kind = describe(self.feed)["kind"]
            raise ConfigError(f"feed: {kind!r} goes by the validation loss, and there is none; set training.patience")
        return self

    @model_validator(mode="after")
    def _suited(self) -> "Experiment":
        """Raises: ConfigError where the uncertainty does not go with the task."""
        if isinstance(self.uncertainty, Suited):
            self.uncertainty.suits(self.task)
        return self

    @model_validator(mode="after")
    def _shared_out(self) -> "Experiment":
        """Raises: ConfigError where one of the arms would have no question in a round."""
        share, questions = self.control.share, self.rounds.questions
        if share and not 0 < share_of(questions, share) < questions:
            bought = f"{share:g} of {questions} questions a round leaves an arm without any"
            raise ConfigError(f"control.share: {bought}; take another share, or more questions a round")
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """The experiment of a YAML file, with `key.key=value` overrides.

        Raises: ConfigError naming the file and the key.
        """
        path = Path(path)
        return cls.of(overridden(read_mapping(path), overrides), base=path.resolve().parent, source=str(path))

    @classmethod
    def of(cls, raw: Mapping[str, Any], *, base: Path = Path(), source: str = "experiment") -> "Experiment":
        """The experiment of plain values. Raises: ConfigError naming `source` and the key."""
        try:
            return cls.model_validate({**raw, "base": base}, context={"base": base})
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explained(error)}") from error
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from error

    def but(self, overrides: Sequence[str] = (), **changes: Any) -> "Experiment":
        """A variant: `key.key=value` overrides, or whole sections by name."""
        raw = overridden(self.resolved(), overrides) | changes
        data = changes.get("data", self.data)
        kept = raw["data"] if any(item.startswith("data.") for item in overrides) else data
        return type(self).of({**raw, "data": kept}, base=self.base)

    @property
    def sampling(self) -> Sampling:
        """How explanations are drafted and the held-out set is answered."""
        return Sampling(temperature=self.drafting.temperature, max_tokens=self.drafting.max_tokens)

    def arms(self) -> dict[str, "Experiment"]:
        """What each arm does, the main one first: its part of the questions and the caps; the control's own selector.

        Without a control, the experiment itself.
        """
        share = self.control.share
        if not share:
            return {MAIN: self}
        budget, its_budget = self.budget.split(share)
        count = share_of(self.rounds.questions, share)
        rounds, its_rounds = (
            self.rounds.model_copy(update={"questions": n}) for n in (self.rounds.questions - count, count)
        )
        selector = build("elad.selection", self.control.arm, "control.arm")
        spared = {"prefilter": Prefilter(), "adaptive": Adaptive()}  # nothing is scored there
        changes = {"budget": its_budget, "rounds": its_rounds, "selector": selector, **spared}
        return {
            MAIN: self.model_copy(update={"budget": budget, "rounds": rounds}),
            CONTROL: self.model_copy(update=changes),
        }

    def resolved(self) -> dict[str, Any]:
        """Every key with its value as plain JSON values; `of` makes the same experiment from it."""
        strategies = {
            name: describe(getattr(self, name), tag="engine" if name == "student" else "kind")
            for name in ("task", "student", "teacher", "uncertainty", "selector", "reviser", "objective")
        }
        may = {
            "stopping": self.stopping and describe(self.stopping),
            "feed": self.feed and describe(self.feed),
            "guide": self.guide and self.guide.resolved(),
        }
        return self.model_dump(mode="json", exclude={*strategies, *may}) | strategies | may

    def identity(self) -> dict[str, Any]:
        """What a resumed run must have in common with its beginning, by dotted key.

        Caps, the number of rounds, when to stop, the name, and how the teacher is reached may change: they do not
        alter what was done. A control is told of where there is one. Data and the student's weights and numbers are
        compared by content, elsewhere.
        """
        dtypes = ("student.dtype", "guide.student.dtype")
        free = ("name", "budget", "data", "rounds.count", "stopping", *dtypes, *_WAYS_TO_THE_TEACHER)
        optional = {"feed": self.feed, "guide": self.guide, "edited_weight": self.edited_weight}
        optional |= {"control": self.control.share}
        free = (*free, *(key for key, there in optional.items() if not there))
        return {key: value for key, value in flat(self.resolved()).items() if not key.startswith(free)}


def _explained(error: ValidationError) -> str:
    """What pydantic found: our own errors in their words, unknown keys with the nearest known one."""
    for item in error.errors():
        if item["type"] == "value_error":
            said = str(item.get("ctx", {})["error"])
            return f"guide.{said}" if item["loc"][:1] == ("guide",) and not said.startswith("guide.") else said
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            *path, key = (str(part) for part in item["loc"])
            keys = _keys(path)
            if keys:
                return f"{'.'.join([*path, key])}: unknown key; {nearest(key, keys)}"
    return reasons(error).lstrip(".")


def _keys(path: Sequence[str]) -> list[str]:
    """The keys that a section may have; `path` leads to it from the top. None where it leads elsewhere."""
    section: Any = Experiment
    for part in path:
        section = getattr(section, "model_fields", {}).get(part)
        section = section and next((one for one in get_args(section.annotation) if one), section.annotation)
    return list(getattr(section, "model_fields", None) or getattr(section, "__dataclass_fields__", ()))

"""Making a student conclude early: the answer it would give after some of its steps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import exp, inf, isnan

from elad.asks import Prompt
from elad.protocols import Student, Task
from elad.records import Problem, Sampling, derive_seed
from elad.tasks.chains import concluded
from elad.uncertainty.beliefs import Belief


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One place at which the student is made to conclude."""

    problem: Problem
    said: str
    """What the student has said before; the cue follows on a line of its own."""
    seed: int
    guess: str | None = None
    """The answer that is likely; it changes how long it takes, not what comes out."""

    def prompt(self, task: Task, sample: int = 0) -> Prompt:
        """What the student is given; samples differ in their seeds."""
        said = self.said.rstrip()
        return Prompt(
            messages=task.messages(self.problem),
            prefix=f"{said}\n{task.cue}" if said else task.cue,
            seed=derive_seed(self.seed, sample),
            guess=task.conclusion(self.problem, self.guess).removeprefix(task.cue) if self.guess else "",
        )


def conclude(
    probes: Sequence[Probe], student: Student, task: Task, *, sampling: Sampling, samples: int, per_token: bool = False
) -> list[Belief]:
    """What the student believes at each probe, in the probes' order; the chains are not written again.

    Where the task has options, one for each choice of the problem in its order, their
    log-probabilities are normalised and nothing is drawn; `per_token` takes the mean over an option's
    tokens for their sum, so that a long option is not less likely for its length. Free answers are shares of
    `samples` short generations. At most one call of each kind, for all probes.

    Edge cases: a prompt that does not fit the context gives the belief that cannot be read.
    Raises: ValueError when the student gives a log-probability that is not one.
    """
    with_options = [probe for probe in probes if task.options(probe.problem) is not None]
    free = [probe for probe in probes if task.options(probe.problem) is None]
    scored = iter(_weigh(with_options, student, task, per_token=per_token) if with_options else [])
    drawn = iter(_draw(free, student, task, sampling, samples) if free else [])
    return [next(drawn if task.options(probe.problem) is None else scored) for probe in probes]


def _weigh(probes: Sequence[Probe], student: Student, task: Task, *, per_token: bool) -> list[Belief]:
    options = [task.options(probe.problem) or () for probe in probes]
    logs = iter(
        student.score(
            [
                (prompt, option)
                for probe, offered in zip(probes, options, strict=True)
                for prompt in [probe.prompt(task)]
                for option in offered
            ]
        )
    )
    return [
        normalised(probe.problem.choices or (), [next(logs) for _ in offered], per_token=per_token)
        for probe, offered in zip(probes, options, strict=True)
    ]


def normalised(choices: Sequence[str], logs: Sequence[tuple[float, ...]], *, per_token: bool = False) -> Belief:
    """The belief that log-probabilities of the choices' tokens, summed or per token, stand for; like choices are one.

    Edge cases: where one of them has no token (its prompt did not fit), or is no number, nothing can be said of the
    others either: the belief that cannot be read. Raises: ValueError for what is no log-probability.
    """
    if not all(logs) or any(map(isnan, chain.from_iterable(logs))):
        return {None: 1.0}
    totals = [sum(tokens) / (len(tokens) if per_token else 1) for tokens in logs]
    if inf in totals:
        raise ValueError(f"the student scored options as {totals}: not log-probabilities")
    top = max(totals, default=-inf)
    if top == -inf:
        return {None: 1.0}
    weights = [exp(total - top) for total in totals]
    belief: dict[str | None, float] = {}
    for choice, weight in zip(choices, weights, strict=True):
        belief[choice] = belief.get(choice, 0.0) + weight / sum(weights)
    return belief


def _draw(probes: Sequence[Probe], student: Student, task: Task, sampling: Sampling, samples: int) -> list[Belief]:
    prompts = [probe.prompt(task, sample) for probe in probes for sample in range(samples)]
    generations = student.generate(prompts, sampling, until=lambda _, text: "\n" in text.strip())
    beliefs: list[Belief] = []
    for place, probe in enumerate(probes):
        answers = Counter(
            _read(generation.text, probe.problem, task, finished=generation.finished)
            for generation in generations[place * samples : (place + 1) * samples]
        )
        beliefs.append({answer: count / samples for answer, count in answers.items()})
    return beliefs


def _read(text: str, problem: Problem, task: Task, *, finished: bool) -> str | None:
    # Only the rest of the concluding line counts: a small student talks on after it.
    line, newline, _ = text.strip().partition("\n")
    _, parsed = concluded(f"{task.cue} {line}", problem, task, finished=finished or bool(newline))
    return parsed.answer

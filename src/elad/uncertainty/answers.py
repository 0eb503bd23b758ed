"""What other explanations of a question end in: full samples, drawn alike for several kinds of score.

`entropy`, `margin`, `self_consistency`, `disagreement` and `variance` are formulas over the same samples: they share
their seeds, so that with equal settings they look at the same texts.

Evidence: answering a question k = 10 times and comparing the answers is Active-Prompt (Diao et al., 2023,
arXiv 2302.12246) [S]; its released code takes k = 5 unless told otherwise, and the temperature of 0.7. There answers
that cannot be read are one answer; here each agrees with nothing, not even with another such one: ours [D].
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from elad.asks import Prompt
from elad.errors import require
from elad.protocols import Student, Task
from elad.records import Problem, Sampling, StepScores, derive_seed
from elad.tasks.chains import concluded
from elad.uncertainty.beliefs import Draft, brief, certain, likeliest, unified


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What k explanations of one question, each drawn from its beginning, end in."""

    own: str | None
    """The answer of the chain itself."""
    drawn: tuple[str | None, ...]
    """By sample, answers of one meaning in one form, the chain's own first; None where it cannot be read."""

    @property
    def readable(self) -> list[float]:
        """The share of each answer that can be read, largest first."""
        counts = Counter(answer for answer in self.drawn if answer is not None)
        return sorted((count / len(self.drawn) for count in counts.values()), reverse=True)

    @property
    def shares(self) -> list[float]:
        """The share of each answer, adding up to 1; each one that cannot be read is one of its own."""
        return self.readable + [1 / len(self.drawn) for answer in self.drawn if answer is None]

    @property
    def agreeing(self) -> float:
        """The share that ends in the chain's answer; 0 where it has none."""
        return sum(answer is not None and answer == self.own for answer in self.drawn) / len(self.drawn)

    def scores(self, aggregate: float) -> StepScores:
        """A score of the question as a whole, 0..1 but for rounding, with what it was computed from."""
        return StepScores(
            parts={},
            steps=(),
            aggregate=min(max(aggregate, 0.0), 1.0),
            confidence=self.agreeing,
            detail={"answers": [brief(answer) for answer in self.drawn]},
        )


def check(samples: int, temperature: float) -> None:
    """Nothing where samples can be drawn and compared. Raises: ConfigError naming the key that cannot be used."""
    require(samples >= 2, "uncertainty.samples", "at least 2", samples)
    require(isfinite(temperature) and temperature > 0, "uncertainty.temperature", "above 0", temperature)


def draw(
    drafts: Sequence[Draft], student: Student, task: Task, seed: int, *, samples: int, temperature: float
) -> list[Answers]:
    """What `samples` explanations of each question end in, from one batch over all of them.

    A sample may be as long as a draft. What is drawn depends on `seed`, the problem's id and the sample's number.
    """
    if not drafts:
        return []
    prompts = [
        Prompt(messages=task.messages(problem), seed=derive_seed(seed, problem.id, "answers", sample))
        for problem, _ in drafts
        for sample in range(samples)
    ]
    most = max(chain.sampling.max_tokens for _, chain in drafts)

    def enough(at: int, written: str) -> bool:
        return settled(drafts[at // samples][0], written, task)

    generations = student.generate(prompts, Sampling(temperature=temperature, max_tokens=most), enough)
    found: list[Answers] = []
    for place, draft in enumerate(drafts):
        own = generations[place * samples : (place + 1) * samples]
        read = (concluded(one.text, draft[0], task, finished=one.finished)[1].answer for one in own)
        found.append(_answers(draft, list(read), task))
    return found


def _answers(draft: Draft, read: Sequence[str | None], task: Task) -> Answers:
    problem, chain = draft
    forms = unified(
        [certain(answer) for answer in read], chain.answer, lambda one, other: task.same(one, other, problem)
    )
    return Answers(own=chain.answer, drawn=tuple(likeliest(form) for form in forms))


def settled(problem: Problem, text: str, task: Task) -> bool:
    """Whether a continuation has concluded and gone on to a next line: what more it says changes nothing."""
    own, parsed = concluded(text, problem, task, finished=False)
    after = text[len(own) :].lstrip()
    # A conclusion without a stop goes on into the next line: only the one after that is beyond it.
    stopped = own.rstrip().endswith((".", "!", "?")) and "\n" in own[len(own.rstrip()) :]
    return parsed.answer is not None and bool(after) and (stopped or "\n" in after)

"""Inter-explanation uncertainty: do other explanations from here agree?

Evidence: that ELAD has this second part is told by reviews [2]; what exactly is compared could not be
read. `entailment` is a reconstruction [R]; `answers` is reconstructed in part and ours in part [R/D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elad.asks import Generation, Prompt
from elad.protocols import Student, Task
from elad.records import Chain, Problem, Sampling, derive_seed
from elad.steps import split
from elad.tasks.chains import concluded
from elad.uncertainty.answers import settled
from elad.uncertainty.beliefs import Draft, Measured, brief, scored
from elad.uncertainty.entailment import Entailment, mutual

_STEP_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    """Another explanation from the same place."""

    answer: str | None
    step: str
    """Its first step."""
    agrees: bool
    """Whether it ends in the chain's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inter:
    """Per step, how far other explanations that start with r_1..r_{i-1} disagree.

    Without `nli`: 1 - the share of M continuations that end in the chain's answer. One that cannot be
    read agrees with nothing, and a chain without an answer is agreed with by none: 1 at every step, and
    nothing is drawn.
    With `nli`: the mean over M of 1 - mutual entailment of r_i and the first step of the continuation;
    it asks nothing of the answers.
    Continuations are drawn only up to the conclusion of the chain; each answers as a chain does, where it
    first concludes.
    """

    samples: int
    temperature: float
    nli: Entailment | None
    first: int = 0
    """So many of the samples are left out, because they were drawn before."""

    def __call__(self, drafts: Sequence[Draft], student: Student, task: Task, seed: int) -> list[Measured]:
        """One measure per draft, from one batch of continuations over all whose answers can be agreed with."""
        open_ = [i for i, (_, chain) in enumerate(drafts) if self.nli is not None or chain.answer is not None]
        asked = [drafts[i] for i in open_]
        drawn = dict(zip(open_, self._drawn(asked, student, task, seed) if asked else [], strict=True))
        return [drawn[i] if i in drawn else _unanswered(chain) for i, (_, chain) in enumerate(drafts)]

    def _drawn(self, drafts: Sequence[Draft], student: Student, task: Task, seed: int) -> list[Measured]:
        places = [(problem, chain, place) for problem, chain in drafts for place in range(scored(chain))]
        prompts = [
            Prompt(
                messages=task.messages(problem),
                prefix=_open_end(chain.prefix(place)),
                seed=derive_seed(seed, problem.id, "inter", place + 1, sample),
            )
            for problem, chain, place in places
            for sample in range(self.first, self.samples)
        ]
        # A continuation may be as long as a draft: a shorter one would call every long chain uncertain.
        count = self.samples - self.first
        most = max(chain.sampling.max_tokens for _, chain in drafts)

        starts = [_start(problem, _open_end(chain.prefix(place)), task) for problem, chain, place in places]

        def enough(at: int, written: str) -> bool:
            spot = at // count
            return settled(places[spot][0], starts[spot] + written, task)

        until = enough if self.nli is None else None
        generations = student.generate(prompts, Sampling(temperature=self.temperature, max_tokens=most), until)
        others = [
            [
                _read(problem, chain, starts[spot], generations[at], task)
                for at in range(spot * count, (spot + 1) * count)
            ]
            for spot, (problem, chain, _) in enumerate(places)
        ]
        agreement = self._agreement([chain.steps[place].text for _, chain, place in places], others)
        return self._measure(drafts, others, agreement)

    def _agreement(self, steps: Sequence[str], others: Sequence[Sequence[_Other]]) -> list[list[float]]:
        if self.nli is None:
            return [[float(other.agrees) for other in row] for row in others]
        pairs = [(step, other.step) for step, row in zip(steps, others, strict=True) for other in row]
        flat = iter(mutual(pairs, self.nli))
        return [[next(flat) for _ in row] for row in others]

    def _measure(
        self, drafts: Sequence[Draft], others: Sequence[list[_Other]], agreement: Sequence[list[float]]
    ) -> list[Measured]:
        measured: list[Measured] = []
        start = 0
        for _, chain in drafts:
            end = start + scored(chain)
            own = others[start:end]
            detail: dict[str, Any] = {"sampled": [[brief(other.answer) for other in row] for row in own]}
            if self.nli is not None:
                detail["resampled"] = [[other.step[:_STEP_CHARS] for other in row] for row in own]
                detail["entailment"] = [[round(share, 4) for share in row] for row in agreement[start:end]]
            measured.append(
                Measured(
                    values=tuple(sum(1 - share for share in row) / len(row) for row in agreement[start:end]),
                    confidence=sum(other.agrees for other in own[0]) / len(own[0]),
                    detail=detail,
                )
            )
            start = end
        return measured


def _unanswered(chain: Chain) -> Measured:
    count = scored(chain)
    return Measured(values=(1.0,) * count, confidence=0.0, detail={"sampled": [[] for _ in range(count)]})


def _open_end(prefix: str) -> str:
    # Models begin a word with its space: a prefix that ends with one is a place they never saw.
    return prefix.rstrip(" \t")


def _start(problem: Problem, prefix: str, task: Task) -> str:
    # An answer that the prefix names by the way is no conclusion of the continuation.
    return "" if task.parse(prefix, problem).answer is not None else prefix


def _read(problem: Problem, chain: Chain, start: str, generation: Generation, task: Task) -> _Other:
    _, parsed = concluded(start + generation.text, problem, task, finished=generation.finished)
    steps = split(generation.text)
    return _Other(
        answer=parsed.answer,
        step=steps[0].text.strip() if steps else "",
        agrees=task.same(chain.answer, parsed.answer, problem),
    )

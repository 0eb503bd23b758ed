"""Explanation-guided uncertainty of ELAD (Zhang et al., 2024): within one explanation, and between several.

The published text could not be read in full. Labels: [2] told by a third party, [R] reconstructed,
[D] a decision of ours. The two parts exist [2]; their exact definitions are in `intra` and `inter`;
the weighted sum over steps, all defaults and the breaking of ties are [R/D].
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean
from typing import Literal

from pydantic import ConfigDict

from elad.errors import ConfigError
from elad.protocols import Student, Task
from elad.records import Chain, Problem, Sampling, StepScores
from elad.uncertainty.beliefs import Draft, Measured
from elad.uncertainty.cross_encoder import CrossEncoder
from elad.uncertainty.entailment import Entailment
from elad.uncertainty.inter import Inter
from elad.uncertainty.intra import Intra

__all__ = ["Elad"]

_AGGREGATES: dict[str, Callable[[Iterable[float]], float]] = {"mean": fmean, "max": max, "sum": sum}


@dataclass(frozen=True, slots=True, kw_only=True)
class Elad:
    """Per step, `weight` * intra + (1 - `weight`) * inter; per question, their mean, maximum or sum.

    Only the steps up to and including the conclusion are scored, and aggregated. One that concludes the
    same again costs nothing and carries 0 in `parts` and `steps`, so that both are as long as the chain [D].
    """

    __pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    intra: Literal["prefix", "leave_one_out"] = "prefix"
    soft: bool = False
    """Compare whole beliefs (Jensen-Shannon distance) and not only the likeliest answers."""
    settled: bool = False
    """Count only changes after the chain's answer was first reached: instability, not progress."""
    inter: Literal["answers", "entailment"] = "answers"
    nli: CrossEncoder | Entailment | None = None
    """Who judges entailment; needed by `inter: entailment`. A scorer of your own is a frozen dataclass."""
    samples: int = 5
    """M: continuations from before each step."""
    temperature: float = 0.7
    weight: float = 0.5
    """lambda, 0..1. At 1 no continuation is drawn, at 0 no conclusion is asked for."""
    aggregate: Literal["mean", "max", "sum"] = "mean"
    """`sum` rewards long chains and may exceed 1."""
    probe_samples: int = 5
    """K: short samples for the belief in a free answer; used with `soft`."""
    probe_tokens: int = 16
    per_token: bool = False
    """Weigh an option by the mean of its tokens' log-probabilities, not their sum: for `task.weigh: texts`."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("samples", "probe_samples", "probe_tokens"):
            if getattr(self, key) < 1:
                raise ConfigError(f"uncertainty.{key}: must be at least 1, not {getattr(self, key)}")
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"uncertainty.weight: must lie in 0..1, not {self.weight}")
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"uncertainty.temperature: must be above 0, not {self.temperature}")
        if self.settled and self.intra != "prefix":
            raise ConfigError("uncertainty.settled: goes with `intra: prefix` only")
        if (self.inter == "entailment") != (self.nli is not None):
            raise ConfigError("uncertainty.nli: goes with `inter: entailment`, and is needed there")

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; what is drawn depends on `seed` and the problem's id alone.

        Confidence is the share of continuations from before the first step that end in the chain's
        answer; where none are drawn, the belief in it just before the last step; 0 without an answer.

        Edge cases: a chain without steps is wholly uncertain: aggregate 1, confidence 0.
        Raises: ValueError when a score is not a number in 0..1.
        """
        places = [place for place, (_, chain) in enumerate(drafts) if chain.steps]
        asked = [drafts[place] for place in places]
        parts = {
            name: dict(zip(places, measure(asked, student, task, seed) if asked else [], strict=True))
            for name, measure in self._measures()
        }
        return [
            self._combined({name: found[place] for name, found in parts.items() if place in found}, len(chain.steps))
            for place, (_, chain) in enumerate(drafts)
        ]

    def suits(self, task: Task) -> None:
        """Nothing where it goes with the task. Raises: ConfigError where there are no lengths to even out."""
        if self.per_token and getattr(task, "weigh", None) != "texts":
            raise ConfigError("uncertainty.per_token: goes with `task.weigh: texts` only: letters are of one length")

    def few(self, samples: int) -> "Elad":
        """The same with the first so many continuations.

        Raises: ConfigError where they are not fewer, or scores do not count answers.
        """
        if not samples < self.samples or self.weight == 1 or self.inter != "answers":
            told = f"`inter: answers`, a weight below 1 and more samples than {samples}"
            raise ConfigError(f"adaptive.few: goes with {told} (uncertainty.samples: {self.samples}) only")
        return replace(self, samples=samples)

    def most(self, scores: StepScores) -> float:
        """The aggregate if no further continuation agrees; a chain without steps has no more than its own."""
        if not scores.parts:
            return scores.aggregate
        earlier = _earlier(scores)
        worst = replace(earlier, values=(1.0,) * len(earlier.values), confidence=0.0, detail={"sampled": ()})
        return self._merged(scores, earlier, worst, len(scores.steps)).aggregate

    def complete(
        self, drafts: Sequence[Draft], scores: Sequence[StepScores], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """What a call gives; what `scores` rest on is not asked for again."""
        # A chain without steps or an answer had nothing to draw.
        open_ = [place for place, one in enumerate(scores) if one.parts and drafts[place][1].answer is not None]
        if not open_:
            return list(scores)
        first = len(scores[open_[0]].detail["sampled"][0])
        inter = Inter(samples=self.samples, temperature=self.temperature, nli=None, first=first)
        found = dict(zip(open_, inter([drafts[place] for place in open_], student, task, seed), strict=True))
        return [
            self._merged(one, _earlier(one), found[place], len(chain.steps)) if place in found else one
            for place, ((_, chain), one) in enumerate(zip(drafts, scores, strict=True))
        ]

    def _merged(self, scores: StepScores, earlier: Measured, further: Measured, length: int) -> StepScores:
        """Scores by few samples and what the other samples say, as if all had been drawn at once."""
        rows: list[list[str | None]] = earlier.detail["sampled"]
        first = len(rows[0])

        def share(one: float, other: float) -> float:
            return (round(one * first) + round(other * (self.samples - first))) / self.samples

        more: list[list[str | None]] = further.detail["sampled"] or [[] for _ in rows]
        inter = Measured(
            values=tuple(map(share, earlier.values, further.values)),
            confidence=share(earlier.confidence, further.confidence),
            detail={"sampled": [[*row, *others] for row, others in zip(rows, more, strict=True)]},
        )
        found = {"inter": inter}
        if "intra" in scores.parts:
            detail = {key: value for key, value in scores.detail.items() if key != "sampled"}
            intra = Measured(values=scores.parts["intra"][: len(rows)], confidence=0.0, detail=detail)
            found = {"intra": intra, **found}
        return self._combined(found, length)

    def _measures(self) -> list[tuple[str, Intra | Inter]]:
        probing = Sampling(temperature=self.temperature if self.soft else 0.0, max_tokens=self.probe_tokens)
        intra = Intra(
            kind=self.intra,
            soft=self.soft,
            settled=self.settled,
            samples=self.probe_samples,
            sampling=probing,
            per_token=self.per_token,
        )
        inter = Inter(samples=self.samples, temperature=self.temperature, nli=self.nli)
        wanted: list[tuple[str, Intra | Inter]] = []
        if self.weight > 0:
            wanted.append(("intra", intra))
        if self.weight < 1:
            wanted.append(("inter", inter))
        return wanted

    def _combined(self, found: dict[str, Measured], length: int) -> StepScores:
        if not found:
            return StepScores(parts={}, steps=(), aggregate=1.0, confidence=0.0)
        for name, measured in found.items():
            if not all(0 <= value <= 1 for value in measured.values):
                raise ValueError(f"{name}: scores must lie in 0..1, not {measured.values}")
        weights = {"intra": self.weight, "inter": 1 - self.weight}
        steps = tuple(
            sum(weights[name] * value for name, value in zip(found, values, strict=True))
            for values in zip(*(measured.values for measured in found.values()), strict=True)
        )
        unscored = (0.0,) * (length - len(steps))
        return StepScores(
            parts={name: measured.values + unscored for name, measured in found.items()},
            steps=steps + unscored,
            aggregate=_AGGREGATES[self.aggregate](steps),
            confidence=(found.get("inter") or found["intra"]).confidence,
            detail={key: value for measured in found.values() for key, value in measured.detail.items()},
        )


def _earlier(scores: StepScores) -> Measured:
    """What continuations said of the steps that were scored."""
    values = scores.parts["inter"][: len(scores.detail["sampled"])]
    return Measured(values=values, confidence=scores.confidence, detail={"sampled": scores.detail["sampled"]})

"""Instruction-following difficulty, IFD: From Quantity to Quality (Li et al., 2024, arXiv 2308.12032, NAACL).

Idea: of questions that have answers, learn from those whose question helps the student least to say the answer, as its
own losses tell. With s the mean loss of the answer's tokens, IFD = s(A|Q) / s(A); above 1 the question misleads.
New here: `Ifd`, the score; `Cherry`, a brief experience and then the highest scores; `LengthMatched`, its control.
Evidence: paper-faithful; formulas, phases and filters as in the authors' code, which was read [C], settings as in
their README and a third party's card that was checked against arXiv v5 [S]; the paper itself was not opened.
The ratio of perplexities, exp(s(A|Q) - s(A)), by a small model, is Superfiltering's (the same group, 2024, ACL) [C].

As published [S]: 1,000 questions of experience (100 clusters, 10 of each) for one epoch; the highest 5 to 15 % of all
that are at most 1, from the base model: 3 epochs, batch 128, learning rate 2e-5, 512 tokens, warm-up 0.03, no decay.
Scaled here: 20 of 120 (10 clusters, 2 of each), then 20; batch 16, and 1e-3, as LoRA on 135M parameters wants it.

Differs from the paper [D]:
- The experience is the first round of the loop: it trains as all rounds do, and what it bought stays learnt from; the
  paper's is forgotten, and its questions may be picked again.
- Question and answer are tokenised apart, so that both losses are over the same tokens; the released code looks for
  the answer in the text and may be off by one, and Superfiltering's s(A) lacks the first token. What is too long is
  left out, not cut. A ratio of exactly 1 is kept; Superfiltering drops it.
- What the chat template marks a reply with stands before an answer alone, as the released code keeps `### Response:`.
- Clusters are of directions from the middle of the pool, of hidden states of which later ones weigh more
  (`students/embedding.py`); the code's are of plain means. A question's perplexity is taken after that mark; the code's
  is that of the filled template. Within the band questions are evenly spaced by it; the code's are in the order of the
  data, on which nothing hangs here. What small clusters leave over is filled by lot.
Checked against: the published example, 0.696 / 0.761 = 0.915; plain forward passes, one text at a time.
Not reproduced: any number of the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from math import ceil, exp, isfinite, nan
from random import Random
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict

from elad.asks import Prompt
from elad.errors import DataError, StudentError, require
from elad.evaluation.intervals import quantile
from elad.protocols import Student, Task
from elad.records import Candidate, Chain, Past, Problem, StepScores
from elad.sample import folder
from elad.selection.encoder import Encoder
from elad.selection.geometry import clusters, directions, embedding
from elad.selection.pool import by_lot, first, rank

if TYPE_CHECKING:
    from elad.experiment import Experiment

_STRICT = ConfigDict(extra="forbid")
_ALONE = Prompt(messages=())
_LARGEST = 700.0
"""Of a difference of losses, in nats: what lies above cannot be told from it, and has no exponential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ifd:
    """How little the question helps the student to say the answer; the question as a whole is scored, not its steps.

    The aggregate is IFD / (1 + IFD): the same order, in 0..1, and one half where the question does not help at all.
    What is dropped, or has no ratio, has 0, so that `top` takes it last. The ratio itself and its losses, in nats, are
    in the detail.
    """

    __pydantic_config__ = _STRICT

    ratio: Literal["losses", "perplexities"] = "losses"
    answers: Literal["given", "own"] = "given"
    """Whose: those that the data give, as in the paper, or what the student drafted."""
    drop_above: float | None = 1.0
    """Ratios above are left out, with the reason in the detail (`left_out`); None leaves none out."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        most = self.drop_above
        require(most is None or (isfinite(most) and most > 0), "uncertainty.drop_above", "above 0", most)

    @property
    def of_drafts(self) -> bool:
        """Whether it looks at what was drafted."""
        return self.answers == "own"

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; nothing is drawn. Confidence is the geometric mean of the tokens' probabilities.

        Edges: an answer that is empty, does not fit the context after its question, or has losses that are no numbers
        has 0, and is left out. Raises: DataError for a question without a given answer, StudentError where
        the two losses would be over different tokens.
        """
        texts = [chain.text if self.of_drafts else _given(problem, task) for problem, chain in drafts]
        asked = [Prompt(messages=task.messages(problem)) for problem, _ in drafts]
        pairs = [*zip(asked, texts, strict=True), *((_ALONE, text) for text in texts)]
        logs = student.score(pairs) if pairs else []
        both = zip(drafts, logs[: len(texts)], logs[len(texts) :], strict=True)
        return [self._scores(problem, after, alone) for (problem, _), after, alone in both]

    def _scores(self, problem: Problem, after: Sequence[float], alone: Sequence[float]) -> StepScores:
        """By the log-probabilities of an answer's tokens after its question, and alone."""
        if after and len(after) != len(alone):
            told = f"its answer has {len(after)} tokens after the question and {len(alone)} without it"
            raise StudentError(f"{problem.id}: cannot be scored: {told}")
        conditioned, direct = _loss(after), _loss(alone)
        if not (isfinite(conditioned) and isfinite(direct) and direct > 0):
            return StepScores(parts={}, steps=(), aggregate=0.0, confidence=0.0, detail={"left_out": "has no score"})
        value = conditioned / direct if self.ratio == "losses" else exp(min(conditioned - direct, _LARGEST))
        detail = {"ifd": value, "conditioned": conditioned, "direct": direct, "tokens": len(after)}
        dropped = self.drop_above is not None and value > self.drop_above
        return StepScores(
            parts={},
            steps=(),
            aggregate=0.0 if dropped else value / (1 + value),
            confidence=exp(-conditioned),
            detail=detail | ({"left_out": f"above {self.drop_above:g}"} if dropped else {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a question lies, and as one more number the mean loss of its own tokens, in nats."""

    __pydantic_config__ = _STRICT

    encoder: Encoder = field(default_factory=Encoder)

    @property
    def own(self) -> bool:
        """True: the loss is the student's, whoever places the question."""
        return True

    def __call__(self, problems: Sequence[Problem], student: Student, task: Task) -> list[tuple[float, ...]]:
        """A vector for each problem. Raises: ConfigError where there are none to be had."""
        places = self.encoder(problems, student, task)
        logs = student.score([(_ALONE, task.question(problem)) for problem in problems])
        return [(*place, _loss(said)) for place, said in zip(places, logs, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What a student learns from before it is asked: of each part of the pool, questions of middling perplexity."""

    __pydantic_config__ = _STRICT

    clusters: int = 100
    band: tuple[float, float] = (25.0, 75.0)
    """Percentiles of the perplexity within a cluster."""
    encoder: Placed = field(default_factory=Placed)

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        low, high = self.band
        require(self.clusters >= 1, "selector.experience.clusters", "at least 1", self.clusters)
        require(0 <= low <= high <= 100, "selector.experience.band", "two of 0..100, the lower one first", (low, high))

    def draw(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, the clusters in turn, as many of each; the order of the candidates does not matter.

        Edges: a cluster of fewer is taken whole, and so is a band of fewer; the rest follows in the order by lot.
        """
        seen = by_lot(candidates, rng, lambda one: (rank(one, "Cherry"), embedding(one, "Cherry")))
        ids, vectors = list(seen), [vector for _, vector in seen.values()]
        count = min(max(allowance, 0), len(ids))
        if not count:
            return []
        parts = min(self.clusters, count)
        found = clusters(directions([vector[:-1] for vector in vectors]), parts, rng)
        losses = [vector[-1] for vector in vectors]
        chosen = [self._middling(cluster, losses, ceil(count / parts)) for cluster in found]
        picks = [ids[place] for turn in zip_longest(*chosen) for place in turn if place is not None]
        return first(list(dict.fromkeys([*picks, *ids])), allowance)

    def _middling(self, cluster: Sequence[int], losses: Sequence[float], most: int) -> list[int]:
        """At most so many places of a cluster, evenly spaced within the band."""
        ordered = sorted(cluster, key=losses.__getitem__)
        if len(ordered) < most:
            return ordered
        low, high = (quantile([losses[place] for place in ordered], share / 100) for share in self.band)
        band = [place for place in ordered if low <= losses[place] <= high]
        return band[:: max(len(band) // most, 1)][:most]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cherry:
    """A brief experience where nothing was bought yet, then the highest scores, without what the score leaves out."""

    __pydantic_config__ = _STRICT

    experience: Experience | None = field(default_factory=Experience)
    """None: the student is asked as it is, as the paper does it with LLaMA-2."""

    @property
    def needs_scores(self) -> bool:
        """True: it ranks by them, if not yet in the first round."""
        return True

    @property
    def encoder(self) -> Placed | None:
        """Who places questions for the experience."""
        return self.experience and self.experience.encoder

    def having(self, past: Sequence[Past]) -> "Cherry":
        """Without the experience, once it was had."""
        return replace(self, experience=None) if past else self

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, the highest score first, as `top` breaks ties; fewer than the allowance where more are left out.

        Edges: an allowance below 1 picks none. Raises: ValueError for scores that are missing or not finite, and where
        it is the experience's turn for such embeddings, or some of another length.
        """
        if self.experience is not None:
            return self.experience.draw(candidates, allowance, rng)
        seen = by_lot(candidates, rng, lambda one: (_left_out(one), *rank(one, "Cherry")))
        return first([key for key in sorted(seen, key=seen.__getitem__) if not seen[key][0]], allowance)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthMatched:
    """The control: by lot, but as many of each length of the given answer, in characters, as another selector picks.

    What the authors picked has far longer answers than their pool [C, R], and that alone may be what helps. The
    experience, if any, is the other's own. What the score leaves out is drawn by neither. Source: ours [D].
    """

    __pydantic_config__ = _STRICT

    like: Cherry = field(default_factory=Cherry)
    strata: int = 10
    """Parts by length, all of one size, of what the score does not leave out."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.strata >= 1, "selector.strata", "at least 1", self.strata)

    @property
    def needs_scores(self) -> bool:
        """True: the other selector's picks hang on them."""
        return True

    @property
    def encoder(self) -> Placed | None:
        """The other selector's."""
        return self.like.encoder

    def having(self, past: Sequence[Past]) -> "LengthMatched":
        """The same, beside the other selector as it is by then."""
        return replace(self, like=self.like.having(past))

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids in the order by lot, as many as the other selector picks. Raises: what that raises."""
        picks = self.like(candidates, allowance, rng)
        if self.like.experience is not None:
            return picks
        open_ = [one for one in candidates if not _left_out(one)]
        lengths = by_lot(open_, rng, lambda one: len(one.problem.rationale or one.problem.answer or ""))
        ordered, wanted = sorted(lengths, key=lengths.__getitem__), {*picks}
        places = {key: place for place, key in enumerate(lengths)}
        borders = [part * len(ordered) // self.strata for part in range(self.strata + 1)]
        drawn: list[str] = []
        for start, end in pairwise(borders):
            stratum = sorted(ordered[start:end], key=places.__getitem__)
            drawn += stratum[: len(wanted & {*stratum})]
        return sorted(drawn, key=places.__getitem__)


def _given(problem: Problem, task: Task) -> str:
    """The answer that the data give: a solution in words, and the conclusion."""
    ends = [] if problem.answer is None else [task.conclusion(problem, problem.answer)]
    text = "\n".join([*filter(None, [problem.rationale]), *ends])
    if not text:
        more = "give `rationale` or `answer`, or take `uncertainty.answers: own`"
        raise DataError(f"question {problem.id!r} has no answer to score; {more}")
    return text


def _loss(logs: Sequence[float]) -> float:
    """Mean loss in nats of tokens with these log-probabilities; not a number where there are none."""
    return max(-sum(logs) / len(logs), 0.0) if logs else nan


def _left_out(candidate: Candidate) -> bool:
    return candidate.scores is not None and "left_out" in candidate.scores.detail


def experiment() -> "Experiment":
    """A round of experience and one of cherries, on the packaged sample; the answers are its reference solutions."""
    from elad.experiment import Experiment

    raw = {
        "name": "ifd",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": "smollm2-135m"},
        "teacher": {"kind": "reference"},
        "uncertainty": {"kind": "elad.methods.ifd:Ifd"},
        "selector": {"kind": "elad.methods.ifd:Cherry", "experience": {"clusters": 10}},
        "reviser": {"kind": "rewrite"},
        "drafting": {"max_tokens": 40},
        "training": {"epochs": 3, "warmup_ratio": 0.03, "max_length": 512},
        "rounds": {"count": 2, "questions": 20},
    }
    return Experiment.of(raw, base=folder(), source="methods/ifd.py")

"""A student whose weights a vLLM server has.

The server is handed token ids, made and read here as for the `transformers` engine, and serves the weights that this
would hold: adapters merged in float32. Each time a server gets weights, its log-probabilities are held against those of
plain forward passes (`comparison`): engines are known to give those of bent or rounded distributions.
"""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from elad.asks import Generation, Prompt
from elad.errors import StudentError
from elad.learning import Lesson
from elad.protocols import Fit
from elad.records import Example, Message, Sampling, digest
from elad.students import inspection
from elad.students.asking import asked_to_write, read_reply, weigh
from elad.students.completions import Api
from elad.students.hosts import Own, Remote
from elad.students.models import model_folder
from elad.students.replies import ASK, generation, said
from elad.students.transformers import TransformersStudent, fingerprints, holds_adapter, saving
from elad.training.memory import release
from elad.training.rows import encode_fitting, encode_prompt, encode_text

if TYPE_CHECKING:
    from elad.students.vllm import Vllm

T = TypeVar("T")

_CHECKED = Prompt(messages=(Message(role="user", content="How much is 3 + 4?"),), prefix="3 + 4 =")
_TARGETS = (" 7.\nThe answer is 7.", " 7")
_OFF = {"float32": 0.01, "bfloat16": 0.15}
"""Nats by which a log-probability may differ on average from that of a plain forward pass."""


class VllmStudent:
    """A model that a server has, or will have when it is first asked.

    Equal ids mean equal weights, settings and context, and that it draws in the same way.
    """

    def __init__(
        self,
        settings: "Vllm",
        host: Own | Remote,
        checkpoint: Path | None,
        local: TransformersStudent | None = None,
    ) -> None:
        """`checkpoint` is what `fit` saved; None: the model as it came. `local`: the same student, loaded already."""
        base = model_folder(settings.model)
        self.settings = settings
        self.checkpoint = checkpoint
        self.adapter = checkpoint if checkpoint is not None and holds_adapter(checkpoint) else None
        self._folder = base if checkpoint is None or self.adapter else checkpoint
        self._local = local
        self.tokenizer = inspection.load_tokenizer(self._folder)
        self.ends = inspection.ends(self._folder, self.tokenizer)
        told = inspection.configuration(self._folder)
        self.context = inspection.context(told, settings.max_length)
        self._words: int = told["vocab_size"]
        weights = fingerprints(self._folder) + (fingerprints(self.adapter) if self.adapter else [])
        decides = ["vllm", weights, settings.numbers, list(settings.args), settings.draws, self.context]
        self.id = f"{digest(decides)}-{settings.numbers}"
        self._host = host
        self._asking = threading.Lock()

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """One generation for each prompt; what is drawn depends on the prompt's own seed, and on its logits.

        Edges: those of the `transformers` engine. Raises: StudentError where the server fails.
        """
        most = sampling.max_tokens
        rows = [encode_fitting(self.tokenizer, prompt, most=most, context=self.context) for prompt in prompts]

        def written(api: Api, place: int) -> Generation:
            bound = min(most, self.context - len(rows[place]))
            asked = asked_to_write(sampling, prompts[place].seed, bound, self.ends, draws=self.settings.draws)

            def stop(tokens: Sequence[int]) -> bool:
                if until is None or len(tokens) % ASK:
                    return False
                with self._asking:
                    return until(place, said(self.tokenizer, tokens, self.ends))

            pieces = api.complete if until is None else api.pieces
            tokens, nats = read_reply(pieces(rows[place], asked), self.ends, bound, stop, words=self._words)
            return generation(self.tokenizer, tokens, nats, self.ends)

        nothing = Generation(text="", finished=False, tokens=0)
        return self._each(rows, written, nothing)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """Log-probability, in nats, of each token of each target right after its prompt.

        Edge: a pair longer than the context gets an empty tuple. Raises: StudentError where the server fails.
        """
        return self._each(*self._to_score(pairs), ())

    def _to_score(
        self, pairs: Sequence[tuple[Prompt, str]]
    ) -> tuple[list[list[int]], Callable[[Api, int], tuple[float, ...]]]:
        """The rows that can be scored, the others empty, and how each is."""
        targets = [encode_text(self.tokenizer, target) for _, target in pairs]
        starts = [encode_prompt(self.tokenizer, prompt) for prompt, _ in pairs]
        rows = [
            start + target if start and target and len(start) + len(target) <= self.context else []
            for start, target in zip(starts, targets, strict=True)
        ]
        return rows, lambda api, place: weigh(api, rows[place], len(targets[place]))

    def embed(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """A vector for each prompt, by the model in this process: the server has no hidden states to give."""
        return self._here().embed(prompts)

    def fit(
        self,
        examples: Sequence[Example],
        lesson: Lesson,
        *,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> Fit:
        """A new student, trained in this process as the `transformers` engine does it, and served when it is asked.

        The server of ours that runs is ended first: training wants its memory.
        Raises: StudentError where a running server could not take the new weights.
        """
        if self.settings.url is not None and self.checkpoint is not None:
            why = "a student that goes on from a trained one is saved whole, and a running server takes adapters alone"
            raise StudentError(f"training.warm_start: {why}; leave student.url out")
        self.close()
        fit = self._here().fit(examples, lesson, folder=folder, progress=progress)
        self._forget()
        assert isinstance(fit.student, TransformersStudent)
        return Fit(student=VllmStudent(self.settings, self._host, folder, fit.student), summary=fit.summary)

    def close(self) -> None:
        """Ends the server that was started, or takes back what a running one was given; it may be asked again."""
        self._host.close()

    def whole(self, scratch: Path) -> Path:
        """A folder that has all weights in one; adapters are merged into `scratch`."""
        if self.adapter is not None:
            with saving(scratch):
                self._here().model.save_pretrained(scratch, safe_serialization=True)
                self.tokenizer.save_pretrained(scratch)
        self._forget()
        return self._folder if self.adapter is None else scratch

    def comparison(self) -> Callable[[Api], None]:
        """Asks a server for log-probabilities that are known here. Raises: StudentError where they are others."""
        pairs = [(_CHECKED, target) for target in _TARGETS]
        expected = [value for logs in self._here().score(pairs) for value in logs]
        rows, weighed = self._to_score(pairs)

        def same(api: Api) -> None:
            self._forget()
            found = [value for logs in self._each(rows, weighed, (), api) for value in logs]
            off = fmean(abs(one - other) for one, other in zip(found, expected, strict=True))
            if not off <= _OFF[self.settings.numbers]:
                told = f"its log-probabilities are {off:.3f} nats off those of a plain forward pass, on average"
                remedy = "does it serve this model, unquantised, and with --logprobs-mode raw_logprobs?"
                raise StudentError(api.trouble(f"{told}; {remedy}"))

        return same

    def _each(
        self,
        rows: list[list[int]],
        work: Callable[[Api, int], T],
        nothing: T,
        api: Api | None = None,
    ) -> list[T]:
        """What `work` makes of each row, and `nothing` of empty ones; rows that begin alike are sent in a row."""
        out = [nothing] * len(rows)
        order = sorted((place for place, row in enumerate(rows) if row), key=lambda place: rows[place])
        if order:
            served = api or self._host.api(self)
            made = served.side_by_side(lambda at: work(served, order[at]), len(order))
            for place, one in zip(order, made, strict=True):
                out[place] = one
        return out

    def _here(self) -> TransformersStudent:
        """The same student in this process, loaded when it is first wanted."""
        if self._local is None:
            local = self.settings.local
            self._local = local.open() if self.checkpoint is None else local.load(self.checkpoint)
        return self._local

    def _forget(self) -> None:
        self._local = None
        release()

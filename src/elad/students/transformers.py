"""The `transformers` engine: drafts, scores and trains a causal language model in this process."""

# transformers, peft and torch leave parts of their interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
import json
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from safetensors import SafetensorError
from torch.nn import Parameter
from transformers import GenerationConfig

from elad.abilities import Guides
from elad.asks import Contrast, Generation, Prompt
from elad.errors import RunFolderError, StudentError, require
from elad.kinds import Located
from elad.learning import Lesson, Write
from elad.protocols import Fit, Student
from elad.records import Example, Sampling, digest
from elad.students import inspection
from elad.students.decoding import Decoder
from elad.students.embedding import vectors
from elad.students.memory import Memory
from elad.students.models import file_sha256, model_folder
from elad.students.replies import ASK, generation, said
from elad.training.contrast import contrasted
from elad.training.guide import ModelGuide
from elad.training.memory import release
from elad.training.rows import encode_fitting, encode_prompt, encode_text
from elad.training.trainer import train

__all__ = ["Transformers"]

MANIFEST = "elad.json"
"""In every checkpoint folder: what it was trained from, and on what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank adapters on all linear layers but the head."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("rank", "alpha"):
            require(getattr(self, key) >= 1, f"student.lora.{key}", "at least 1", getattr(self, key))
        require(0 <= self.dropout < 1, "student.lora.dropout", "at least 0 and below 1", self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformers:
    """Settings of the engine; `lora: null` trains all weights."""

    model: Located = "smollm2-135m"
    """A folder, a name that `elad models` lists, or a hub id."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the machine multiplies it itself, else float32; a run goes on in what it began in."""
    lora: Lora | None = Lora()
    max_length: int | None = None
    """Tokens of a prompt and its reply together, at most; None: what the model's configuration says it was made for."""
    batch_size: int = 32
    """Replies that are written side by side, at most."""
    batch_tokens: int = 65_536
    """Tokens of all of them together, at most: where prompts are long, fewer replies are written side by side."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("batch_size", "batch_tokens"):
            require(getattr(self, key) >= 1, f"student.{key}", "at least 1", getattr(self, key))
        require(self.max_length is None or self.max_length >= 1, "student.max_length", "at least 1", self.max_length)

    def open(self) -> "TransformersStudent":
        """The untrained student."""
        return _load(self, model_folder(self.model), adapter=None)

    def load(self, folder: Path) -> "TransformersStudent":
        """A student that `fit` saved under `folder`.

        Raises: StudentError when its files are missing, torn or not its own.
        """
        if holds_adapter(folder):
            return _load(self, model_folder(self.model), adapter=folder)
        return _load(self, folder, adapter=None)


class TransformersStudent:
    """A loaded model. Equal ids mean equal weights and arithmetic, and one context where `max_length` is given."""

    def __init__(self, settings: Transformers, model: Any, tokenizer: Any, *, identity: str, adapted: bool) -> None:
        self.settings = settings
        self.model = model
        self.tokenizer = tokenizer
        self.adapted = adapted
        self.context = inspection.context(model.config.get_text_config().to_dict(), settings.max_length)
        bounded = settings.max_length is not None
        self.id = f"{digest([identity, self.context])}-{arithmetic(settings.dtype)}" if bounded else identity
        self.decoder = Decoder(
            model=model,
            ends=frozenset(model.generation_config.eos_token_id),
            slots=settings.batch_size,
            most_tokens=settings.batch_tokens,
            context=self.context,
        )

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """One generation for each prompt. What is drawn depends on the prompt's own seed alone, up to rounding.

        In bfloat16 logits differ in their last bits with the rows beside them, and now and then a token with them; a
        run resumed after a kill has the same rows beside each other again.

        Edges: a prompt that leaves no room for a whole reply, its prefix counted as a part of that, gets an empty,
        unfinished generation; one whose logits are no numbers gets an unfinished one.
        """
        most = sampling.max_tokens
        fitting = [encode_fitting(self.tokenizer, prompt, most=most, context=self.context) for prompt in prompts]

        tokenizer, ends = self.tokenizer, self.decoder.ends

        def stop(place: int, ids: Sequence[int]) -> bool:
            return until is not None and len(ids) % ASK == 0 and until(place, said(tokenizer, ids, ends))

        guesses = [encode_text(tokenizer, prompt.guess) for prompt in prompts]
        written = self.decoder.generate(fitting, [prompt.seed for prompt in prompts], sampling, stop, guesses)
        return [generation(tokenizer, one.tokens, one.nats, ends) for one in written]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """Log-probability, in nats, of each token of each target right after its prompt.

        Edge: a pair longer than the context gets an empty tuple.
        """
        return self.decoder.score(*self._rows(pairs))

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """How undecided it is before each token of each target, 0..1; not a number where its logits are none.

        Edge: as for `score`.
        """
        return self.decoder.entropies(*self._rows(pairs))

    def _rows(self, pairs: Sequence[tuple[Prompt, str]]) -> tuple[list[list[int]], list[int]]:
        """The tokens of each pair, none where they do not fit the context, and how many of them are its target's."""
        starts = [encode_prompt(self.tokenizer, prompt) for prompt, _ in pairs]
        targets = [encode_text(self.tokenizer, target) for _, target in pairs]
        rows = [start + target for start, target in zip(starts, targets, strict=True)]
        return [row if len(row) <= self.context else [] for row in rows], [len(target) for target in targets]

    def embed(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """A vector for each prompt, from the last layer's hidden states (`vectors`).

        Edge: a prompt longer than the context gets zeros.
        """
        rows = [encode_prompt(self.tokenizer, prompt) for prompt in prompts]
        return vectors(self.decoder, [row if len(row) <= self.context else [] for row in rows])

    @contextmanager
    def remembering(self) -> Generator[None]:
        """Until then, keys and values of what the first `generate` writes are kept, up to `batch_tokens` tokens."""
        self.decoder.memory = Memory(self.settings.batch_tokens)
        try:
            yield
        finally:
            self.decoder.memory = None

    def fit(
        self,
        examples: Sequence[Example],
        lesson: Lesson,
        *,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> Fit:
        """A new student trained from this one, saved as safetensors with its tokenizer and a manifest.

        The new student is loaded back from the folder, so that a resumed run has the same one. The manifest is
        written last: a folder without it is not loaded.

        Raises: RunFolderError when it cannot be saved, as on a full disk.
        """
        torch.manual_seed(lesson.seed)
        model, adapter = self.trainable()
        with _peft_quietly():
            summary = train(
                model, self.tokenizer, examples, lesson,
                write=self.writer(model), dtype=self.model.dtype, progress=progress,
            )  # fmt: skip
        if adapter and self.adapted:  # the base folder no longer is what the adapter belongs to
            for weight in model.parameters():
                weight.data = weight.data.clone()  # merging writes into what is this student's
            model, adapter = model.merge_and_unload(), False
        manifest = {
            "base": self.settings.model,
            "from": self.id,
            "adapter": adapter,
            "examples": digest([[e.problem_id, e.target] for e in examples]),
            "training": asdict(lesson.training),
            "seed": lesson.seed,
            "summary": summary,
        }
        with saving(folder):
            (folder / MANIFEST).unlink(missing_ok=True)
            model.save_pretrained(folder, safe_serialization=True)
            self.tokenizer.save_pretrained(folder)
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        del model
        release()
        return Fit(student=self.settings.load(folder), summary=summary)

    def contrast(self, pairs: Sequence[tuple[Prompt, str]], guide: Student) -> list[Contrast]:
        """Where in each text, right after its prompt, the guide would go on otherwise.

        Edge: as for `score`. Raises: StudentError where the guide reads other tokens or shows no predictions.
        """
        if not isinstance(guide, Guides):
            raise StudentError("guide: its engine does not show its predictions; take `engine: transformers`")
        asked = [(encode_prompt(self.tokenizer, prompt), text) for prompt, text in pairs]
        return contrasted(self.model, self.tokenizer, guide.guide(), asked, self.context)

    def guide(self) -> ModelGuide:
        """This model as a guide: it stays as it is while another one learns."""
        return ModelGuide(self.id, self.model, self.tokenizer)

    def refuse_other_tokens(self, student: Student) -> None:
        """Raises: StudentError where that student does not read and write the same tokens, or none that can be seen."""
        tokenizer = getattr(student, "tokenizer", None)
        if tokenizer is None:
            raise StudentError("guide: the student's engine has no tokenizer to hold against the guide's")
        self.guide().refuse_other_tokens(tokenizer)

    def writer(self, model: Any) -> Write:
        """What a copy of this model, as it is by then, answers to examples' messages."""
        student = TransformersStudent(self.settings, model, self.tokenizer, identity=self.id, adapted=self.adapted)

        def write(examples: Sequence[Example], sampling: Sampling, seeds: Sequence[int]) -> list[str | None]:
            prompts = [Prompt(messages=one.messages, seed=seed) for one, seed in zip(examples, seeds, strict=True)]
            learning = model.training
            model.eval()
            try:
                written = student.generate(prompts, sampling)
            finally:
                model.train(learning)
            return [one.text if one.finished else None for one in written]

        return write

    def trainable(self) -> tuple[Any, bool]:
        """A copy of this student's model to train, and whether adapters are what is trained.

        Weights that are trained are kept in float32: in bfloat16 small steps would round to none. Those that adapters
        leave as they are lie where this student's do, and must not be written to.
        """
        lora = self.settings.lora
        if lora is None:
            return copy.deepcopy(self.model).float(), False
        shared = {id(weight): Parameter(weight.data, weight.requires_grad) for weight in self.model.parameters()}
        model = copy.deepcopy(self.model, shared)
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with _peft_quietly():
            return get_peft_model(model, config), True


def arithmetic(dtype: str) -> str:
    """What `auto` is on this machine; another name is itself."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if inspection.multiplies_bfloat16() else "float32"


def holds_adapter(folder: Path) -> bool:
    """Whether what `fit` saved under `folder` are adapters of its base, and not all weights.

    Raises: StudentError where its manifest cannot be read.
    """
    with _loading(folder):
        return bool(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["adapter"])


def _load(settings: Transformers, folder: Path, *, adapter: Path | None) -> TransformersStudent:
    """A model in inference form: adapters are merged in float32, then cast."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = arithmetic(settings.dtype)
    tokenizer = inspection.load_tokenizer(folder)
    with _loading(folder):
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if adapter else getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,
        )
    ends = inspection.ends(folder, tokenizer)
    weights = fingerprints(folder)
    if adapter:
        from peft import PeftModel

        with _peft_quietly(), _loading(adapter):
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload().to(getattr(torch, dtype))
        weights += fingerprints(adapter)
    if getattr(model, "_is_stateful", False):
        raise StudentError(f"{folder}: keeps a state in place of keys and values, and cannot be decoded here")
    # Nothing else of its own settings is kept, and `generate` would take each for a default: a penalty or a list of
    # suppressed tokens bends what is drafted, and neither what is scored nor what is trained.
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted(ends))
    model.eval()
    if torch.cuda.is_available():
        model.to("cuda")
    identity = f"{digest([weights, dtype])}-{dtype}"
    adapted = folder != model_folder(settings.model) or bool(adapter)
    student = TransformersStudent(settings, model, tokenizer, identity=identity, adapted=adapted)
    student.decoder.check()
    return student


@contextmanager
def _loading(folder: Path) -> Generator[None]:
    """Raises: StudentError for files that are missing, torn or no model."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        told = f"{folder}: not a model that transformers can load: {type(error).__name__}: {error}"
        raise StudentError(told) from error


@contextmanager
def saving(folder: Path) -> Generator[None]:
    """Raises: RunFolderError for a student that cannot be written, such as on a full disk."""
    try:
        yield
    except Exception as error:  # safetensors and tokenizers raise their own, and these share no narrower base
        raise RunFolderError(f"{folder}: the student cannot be saved: {error}") from error


@contextmanager
def _peft_quietly() -> Generator[None]:
    """Keeps a warning from the user that is peft's: it asks transformers for a property by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def fingerprints(folder: Path) -> list[str]:
    """SHA-256 of each file of weights in a folder."""
    return [file_sha256(path) for path in sorted(folder.glob("*.safetensors"))]

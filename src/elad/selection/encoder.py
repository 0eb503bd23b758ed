"""Questions as vectors: by the student's own hidden states, or by any sentence encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import ConfigDict

from elad.abilities import Embeds
from elad.asks import Prompt
from elad.errors import ConfigError
from elad.kinds import Located
from elad.protocols import Student, Task
from elad.records import Problem

_BATCH = 32
_MAX_TOKENS = 512
_MAX_CHARS = 8000

_Encode: TypeAlias = Callable[[list[str]], list[tuple[float, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Vectors of questions as the student is asked them, or of their text where a model is named."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Located | None = None
    """A sentence encoder's folder or hub id, loaded when it is first needed; None: the student itself."""

    @property
    def own(self) -> bool:
        """Whether the student itself is asked."""
        return self.model is None

    def __call__(self, problems: Sequence[Problem], student: Student, task: Task) -> list[tuple[float, ...]]:
        """A vector for each problem; an encoder's is the mean of its last layer over the tokens of the question.

        Raises: ConfigError where the student's engine has no embeddings, or the model cannot be loaded.
        """
        if self.model is not None:
            encode = _encoder(self.model)
            texts = [task.question(problem)[:_MAX_CHARS] for problem in problems]
            batches = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
            return [vector for batch in batches for vector in encode(batch)]
        if not isinstance(student, Embeds):
            raise ConfigError(f"selector.encoder.model: is needed, as {student.id} gives no embeddings")
        return student.embed([Prompt(messages=task.messages(problem)) for problem in problems])


@lru_cache(maxsize=1)
def _encoder(name: str) -> _Encode:
    tokenizer, model, torch = _load(name)

    def encode(texts: list[str]) -> list[tuple[float, ...]]:
        inputs = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=min(_MAX_TOKENS, tokenizer.model_max_length),
            return_tensors="pt",
        )
        with torch.inference_mode():
            states_BTD = model(**inputs).last_hidden_state.float()  # B texts, T tokens, D wide
        seen_BT1 = inputs["attention_mask"][:, :, None]
        mean_BD = (states_BTD * seen_BT1).sum(1) / seen_BT1.sum(1).clamp(min=1)
        return [tuple(row) for row in mean_BD.tolist()]

    return encode


def _load(name: str) -> tuple[Any, Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError("selector.encoder: needs the extra `train` (pip install 'elad[train]')") from error
    hub: Any = transformers
    try:
        tokenizer = hub.AutoTokenizer.from_pretrained(name)
        # Safetensors only: other weight files can carry code.
        model = hub.AutoModel.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"selector.encoder.model: {name!r} cannot be loaded: {error}") from error
    return tokenizer, model.eval(), torch

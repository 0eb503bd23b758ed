"""What an endpoint says of its models without being asked to write: names, and how much context they have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from elad.doctor.trouble import TurnedDownError, UnansweredError
from elad.doctor.wire import Wire
from elad.errors import nearest

_CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens")
"""In vLLM, OpenRouter and Together, Groq, Mistral and LM Studio, LiteLLM."""
_MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The list of models."""

    names: tuple[str, ...]
    context: int | None = None
    """Tokens that the model grants, prompt and reply together."""
    told_by: str = ""
    """The field that says so."""

    def near(self, model: str) -> str:
        """A remark that helps to find the right name."""
        if len(self.names) <= 10:
            return nearest(model, self.names)
        near = nearest(model, self.names)
        return near if near.startswith("did you mean") else f"it lists {len(self.names)} others"


def catalogue(wire: Wire) -> Catalogue | None:
    """What `GET /models` says, None where it says nothing that can be read.

    llama.cpp tells there what a model was trained for; what it grants a request is asked of `GET /props`.
    """
    link = wire.endpoint.link
    base = link.base_url.rstrip("/")
    try:
        listed = wire.get(f"{base}/models").get("data")
    except (UnansweredError, TurnedDownError):
        return None
    if not isinstance(listed, list):
        return None
    rows = [cast("dict[str, Any]", row) for row in cast("list[Any]", listed)[:_MOST_NAMES] if isinstance(row, dict)]
    names = tuple(wire.told(name) for row in rows if isinstance(name := row.get("id"), str))
    own = next((row for row in rows if row.get("id") == link.model), rows[0] if len(rows) == 1 else {})
    context, told_by = _context(wire, own, base)
    return Catalogue(names=names, context=context, told_by=told_by)


def _context(wire: Wire, row: Mapping[str, Any], base: str) -> tuple[int | None, str]:
    for key in _CONTEXT_KEYS:
        if _tokens(row.get(key)):
            return row[key], key
    meta: Any = row.get("meta")
    if not isinstance(meta, dict) or not _tokens(cast("dict[str, Any]", meta).get("n_ctx_train")):
        return None, ""
    try:
        settings: Any = wire.get(f"{base.removesuffix('/v1')}/props").get("default_generation_settings")
        granted: Any = cast("dict[str, Any]", settings).get("n_ctx") if isinstance(settings, dict) else None
    except (UnansweredError, TurnedDownError):
        granted = None
    if _tokens(granted):
        return granted, "n_ctx"
    return cast("dict[str, Any]", meta)["n_ctx_train"], "n_ctx_train: what it was trained for, it may grant less"


def _tokens(value: object) -> bool:
    return type(value) is int and 0 < value < 2**40

"""Writing and weighing by a vLLM server: what is sent for a row of tokens, and what is made of the answer."""

from collections.abc import Callable, Collection, Iterable, Sequence
from math import isnan, log
from typing import Any

from elad.errors import StudentError
from elad.records import Sampling
from elad.students.completions import Api, Piece
from elad.students.sampling import NO_TOKEN, SEED, TEMPERATURE, TOP_P

_UNBENT = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""All of the model's own settings that a server takes where a request does not say otherwise, at what does nothing."""


def asked_to_write(sampling: Sampling, seed: int, most: int, ends: Collection[int], *, draws: bool) -> dict[str, Any]:
    """A request for up to `most` tokens; with `draws`, the server draws by `seeded`, else by a seed of vLLM's."""
    asked: dict[str, Any] = {"max_tokens": most, "stop_token_ids": sorted(ends), "temperature": 0.0, **_UNBENT}
    if sampling.temperature == 0:
        return asked
    if draws:
        told = {SEED: str(seed), TEMPERATURE: sampling.temperature, TOP_P: sampling.top_p}
        return asked | {"vllm_xargs": told}
    return asked | {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}


def read_reply(
    pieces: Iterable[Piece], ends: Collection[int], most: int, stop: Callable[[Sequence[int]], bool], *, words: int
) -> tuple[list[int], float]:
    """The tokens of a reply up to its end, and -log p of all of them together.

    `stop` is asked after each token, so that where it ends a reply does not depend on how the pieces were cut. A reply
    ends with `NO_TOKEN` where a log-probability is no number: it counts as knowing nothing of the vocabulary's `words`.
    """
    tokens: list[int] = []
    nats = 0.0
    for piece in pieces:
        for token, value in zip(piece.tokens, piece.logs, strict=True):
            tokens.append(NO_TOKEN if isnan(value) else token)
            nats += log(words) if isnan(value) else -value
            if tokens[-1] in ends or tokens[-1] == NO_TOKEN or len(tokens) >= most or stop(tokens):
                return tokens, nats
    return tokens, nats


def weigh(api: Api, row: Sequence[int], count: int) -> tuple[float, ...]:
    """Log-probabilities of the last `count` tokens of a row, at least one and fewer than all.

    The last one is the only token that the server is allowed to write, and is weighed among all of them: so a target of
    one token, such as an option, is read off the cached prompt. Others take the whole prompt through the model.
    """
    asked: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "ignore_eos": True, "allowed_token_ids": [row[-1]]}
    (piece,) = api.complete(row[:-1], asked | ({"prompt_logprobs": 0} if count > 1 else {}))
    logs = (*piece.prompt[len(piece.prompt) - (count - 1) :], *piece.logs)
    if piece.tokens != [row[-1]] or len(logs) != count:
        raise StudentError(api.trouble("it did not weigh the tokens that it was asked to"))
    return logs

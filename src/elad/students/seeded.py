"""Draws tokens inside a vLLM server as `sampling.draw` does here: from a seed of each request's own.

On a processor a request with a seed of vLLM's ends its engine where a prompt is read in parts (0.32: a generator there
cannot be set back). And what is drawn this way is what the `transformers` engine draws from the same logits. Loaded by
the server (`--logits-processors`), in an environment that has vLLM and not this package: `server` puts this file and
`sampling.py` there, and neither takes anything else of it.
"""

# vLLM is not installed beside this package.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import Tensor
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from elad.students.sampling import NO_TOKEN, SEED, TEMPERATURE, TOP_P, draw


class Seeded(AdapterLogitsProcessor):
    """Leaves requests that carry a seed in `vllm_xargs` the token that is drawn; they are sent as greedy ones."""

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: Any) -> Callable[[list[int], Tensor], Tensor] | None:
        told = params.extra_args or {}
        if SEED not in told:
            return None
        return Draws(seed=int(told[SEED]), temperature=float(told[TEMPERATURE]), top_p=float(told[TOP_P]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What one request draws, token by token."""

    seed: int
    temperature: float
    top_p: float

    def __call__(self, output_ids: Sequence[int], logits_V: Tensor) -> Tensor:
        """The logits, with none left but that of the token that is drawn after `output_ids`.

        Depends on nothing that came before: a server asks more than once for the same token where it reads a prompt in
        parts, or takes a request up again. Logits that are no numbers stay as they are.
        """
        luck = Random(self.seed)
        for _ in output_ids:
            luck.random()
        (token,) = draw(logits_V[None], [luck], self)
        if token != NO_TOKEN:
            logits_V.fill_(float("-inf"))
            logits_V[token] = 0.0
        return logits_V

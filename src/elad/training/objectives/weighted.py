"""Several objectives at once, each by its weight: a divergence beside plain fine-tuning, for example.

Evidence: ours [D]; that a mixture's terms are told apart, so that one which drowns the others is seen, is what users
of other distillation code came to ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from pydantic import ConfigDict, PlainSerializer, PlainValidator, ValidationInfo

from elad.errors import ConfigError, require
from elad.kinds import base_of, build, describe
from elad.learning import Learns, LossSum, Need, Objective, Targets

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as torch_device

__all__ = ["Weighted"]


class Term(NamedTuple):
    """An objective and how much it counts."""

    weight: float
    objective: Objective


def _built(value: object, info: ValidationInfo) -> dict[str, Term]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"objective.of: expected objectives with weights, as {{sft: 1.0, jsd: 0.5}}, got {value!r}")
    made: dict[str, Term] = {}
    for name, told in cast("Mapping[str, Any]", value).items():
        settings = {"kind": name, **(told if isinstance(told, Mapping) else {"weight": told})}
        weight = settings.pop("weight", 1.0)
        if not isinstance(weight, float | int) or isinstance(weight, bool):
            raise ConfigError(f"objective.of.{name}: expected a weight or a mapping of keys, got {weight!r}")
        where = f"objective.of.{name}"
        made[name] = Term(float(weight), build("elad.training.objectives", settings, where, base=base_of(info)))
    return made


def _told(of: Mapping[str, Term]) -> dict[str, Any]:
    return {name: {"weight": term.weight, **describe(term.objective)} for name, term in of.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """The weighted sum of objectives that count the same things, and what each adds to it as a part."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    of: Annotated[Mapping[str, Term], PlainValidator(_built), PlainSerializer(_told)]
    """By kind: a weight, or a mapping of `weight` (1 where it is left out) and the objective's own keys. Under a name
    of its own where the mapping has a `kind` too."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(bool(self.of), "objective.of", "at least one objective", "empty")
        for name, (weight, _) in self.of.items():
            require(isfinite(weight) and weight > 0, f"objective.of.{name}", "a weight above 0", weight)
        paired = {name: Need.PAIRS in term.objective.needs for name, term in self.of.items()}
        if len({*paired.values()}) > 1:
            pairs, targets = ([name for name, one in paired.items() if one == kind] for kind in (True, False))
            raise ConfigError(f"objective.of: {pairs[0]} is counted by pairs of rows and {targets[0]} by targets")

    @property
    def needs(self) -> frozenset[Need]:
        """What any of them does."""
        return frozenset[Need]().union(*(term.objective.needs for term in self.of.values()))

    def begun(self, seed: int, device: "torch_device") -> "tuple[Weighted, list[Tensor]]":
        """It with all terms begun, and the weights of those that have some."""
        made, weights = dict(self.of), list["Tensor"]()
        for name, (weight, objective) in self.of.items():
            if isinstance(objective, Learns):
                ready, own = objective.begun(seed, device)
                made[name] = Term(weight, ready)
                weights += own
        return Weighted(of=made), weights

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum over all terms and the count of any of them, which is that of all."""
        from torch import stack

        losses = {name: (weight, objective(logits_NV, targets)) for name, (weight, objective) in self.of.items()}
        weighed = {name: weight * loss.total for name, (weight, loss) in losses.items()}
        count = next(loss.count for _, loss in losses.values())
        parts = {name: total.detach() for name, total in weighed.items()}
        return LossSum(total=stack([*weighed.values()]).sum(), count=count, parts=parts)

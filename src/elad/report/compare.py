"""Does an arm save anything against another? The answer from finished runs, with its interval."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from elad.errors import InputError, RunFolderError
from elad.evaluation.curves import Curve, Reach, common_end
from elad.evaluation.paired import Rows, mean_difference, sign_flips
from elad.evaluation.saving import Saving, area_differences, final_accuracy, mean_area, saving
from elad.records import derive_seed, to_json
from elad.report.runs import COSTS, Arm, differences, read_arms

SAVES, COSTS_MORE, NOTHING = "saves", "costs", "no measurable saving"
CANNOT, TOO_FEW = "cannot be said", "not enough seeds"
ENOUGH_SEEDS = 2


def compare(folders: Sequence[Path], to_accuracy: float | None = None) -> tuple[dict[str, Any], list[Arm]]:
    """What the runs say, as plain JSON values, and the arms that they make: `judged` of `read_arms`.

    Raises: InputError for an accuracy outside 0..1, RunFolderError for runs that cannot be compared.
    """
    if to_accuracy is not None and not 0 < to_accuracy <= 1:
        raise InputError(f"--to-accuracy: must lie above 0 and at most at 1, not {to_accuracy:g}")
    arms = read_arms(folders)
    return judged(arms, to_accuracy), arms


def judged(arms: Sequence[Arm], to_accuracy: float | None = None) -> dict[str, Any]:
    """What the arms say against each other, as plain JSON values.

    The reference is the arm that selects at random where just one does, else the first. Each other arm is compared
    with it on the seeds that both have; the figures at the top are those of the first one. They are taken at the
    accuracy that the reference has where its spending ends, or at `to_accuracy`. The verdict goes by the teacher's
    output tokens, or by the questions where no tokens were counted. A run with a control is a run of each arm.
    The verdict cannot be said where the reference never reached that accuracy, or had it before it spent anything.
    An arm without a seed in common with it, or that has bought nothing, is left out, and told.
    Raises: RunFolderError where that leaves none, and where there are not two arms.
    """
    if len(arms) < 2:
        told = ", ".join(arm.name for arm in arms) or "no runs"
        raise RunFolderError(f"there is nothing to compare with: expected the runs of two arms, got {told}")
    reference, at_random = _reference(arms)
    others = [arm for arm in arms if arm is not reference]
    comparisons: list[dict[str, Any]] = []
    left_out: list[RunFolderError] = []
    for arm in others:
        try:
            comparisons.append(_compared(arm, reference, to_accuracy) | {"reference_at_random": at_random})
        except RunFolderError as error:
            left_out.append(error)
    if not comparisons:
        raise left_out[0]
    for one in comparisons:
        one["compared"] = len(comparisons)
    return comparisons[0] | {
        "heldout": len(reference.runs[0].questions),
        "currency": reference.runs[0].currency or others[0].runs[0].currency,
        "arms": [_arm(arm) for arm in arms],
        "comparisons": comparisons,
        "left_out": [str(error) for error in left_out],
    }


def _reference(arms: Sequence[Arm]) -> tuple[Arm, bool]:
    """The arm that selects at random, and whether there is just one; the first arm where there is not."""
    by_lot = [arm for arm in arms if arm.runs[0].settings.get("selector.kind") == "random"]
    return (by_lot[0], True) if len(by_lot) == 1 else (arms[0], False)


def _arm(arm: Arm) -> dict[str, Any]:
    last = [run.curve.accuracies[-1] for run in arm.runs]
    return {
        "name": arm.name,
        "seeds": sorted(arm.seeds),
        "folders": [str(run.folder) for run in arm.runs],
        "accuracy": fmean(last),
        "lowest": min(last),
        "highest": max(last),
        **{cost: fmean(run.curve.costs[cost][-1] for run in arm.runs) for cost in COSTS},
    }


def _compared(arm: Arm, reference: Arm, to_accuracy: float | None) -> dict[str, Any]:
    seeds = sorted(arm.seeds & reference.seeds)
    if not seeds:
        raise RunFolderError(f"{arm.name} and {reference.name} have no seed in common: runs are compared seed by seed")
    ours, theirs = arm.curves(seeds), reference.curves(seeds)
    spent = [cost for cost in COSTS if common_end([*ours, *theirs], cost) > 0]
    if not spent:
        raise RunFolderError(f"{arm.name} or {reference.name} has bought nothing; there is nothing to compare")
    by = spent[0]
    accuracy = to_accuracy or min(final_accuracy(theirs, cost) for cost in spent)
    same = [c.right for c in ours] == [c.right for c in theirs] and [c.costs for c in ours] == [c.costs for c in theirs]
    savings = {cost: saving(ours, theirs, cost, accuracy) for cost in spent}
    told: dict[str, Any] = {
        "arm": arm.name,
        "reference": reference.name,
        "seeds": len(seeds),
        "paired_seeds": seeds,
        "differs": differences(arm.runs[0], reference.runs[0]),
        "unpaired_seeds": sorted(arm.seeds ^ reference.seeds),
        "accuracy": accuracy,
        "asked": to_accuracy is not None,
        "by": by,
        "same": same,
        "ends": {"arm": _ends(arm, seeds, by), "reference": _ends(reference, seeds, by)},
    }
    for cost in COSTS:
        told[saving_key(cost)] = _told(savings[cost], len(seeds), same=same) if cost in savings else None
    told["verdict"] = told[saving_key(by)]["verdict"]
    told["areas"] = {cost: _area(ours, theirs, cost) for cost in spent}
    told["auc_difference"] = told["areas"][by] | {"over": by}
    told["permutation"] = _flips(area_differences(ours, theirs, by)) if len(seeds) >= ENOUGH_SEEDS else None
    return told


def _ends(arm: Arm, seeds: Sequence[int], cost: str) -> dict[str, Any]:
    """What an arm had spent after its first round and after its last one, as means, and its run that ended first."""
    runs = [run for run in arm.runs if run.curve.seed in seeds]
    costs = [run.curve.costs[cost] for run in runs]
    shortest = min(runs, key=lambda run: run.curve.costs[cost][-1])
    return {
        "first": fmean(one[1] for one in costs),
        "last": fmean(one[-1] for one in costs),
        "longest": max(one[-1] for one in costs),
        "shortest": {
            "folder": str(shortest.folder),
            "state": shortest.state,
            "last": shortest.curve.costs[cost][-1],
        },
    }


def _verdict(found: Saving, seeds: int, *, same: bool) -> str:
    if same:
        return NOTHING
    if seeds < ENOUGH_SEEDS:
        return TOO_FEW
    if found.high is None:
        return CANNOT
    if found.low is not None and found.low > 0:
        return SAVES
    return COSTS_MORE if found.high < 0 or (found.beyond and found.high <= 0) else NOTHING


def _told(found: Saving, seeds: int, *, same: bool) -> dict[str, Any]:
    """A saving as JSON, with its verdict; runs that are the same in every answer and cost save 0 and nothing else."""
    nothing = 0.0 if same else None
    ends = {"low": nothing, "high": nothing} if same else {"low": found.low, "high": found.high}
    value = nothing if same else found.value
    return {
        "verdict": _verdict(found, seeds, same=same),
        "value": value,
        **ends,
        "beyond": found.beyond,
        "interval": found.interval or same,
        "spent": found.spent,
        "reference": found.reference,
    }


def _area(ours: Sequence[Curve], theirs: Sequence[Curve], cost: str) -> dict[str, Any]:
    """The areas under both curves as far as all go, as mean accuracies, and their difference with its interval."""
    end = common_end([*ours, *theirs], cost)
    rows = area_differences(ours, theirs, cost)
    found = mean_difference(rows) if len(rows) >= ENOUGH_SEEDS else None
    return {
        "arm": mean_area(ours, cost, end),
        "reference": mean_area(theirs, cost, end),
        "value": found.value if found else fmean(rows[0]),
        "low": found.low if found else None,
        "high": found.high if found else None,
        "common_end": end,
    }


def _flips(rows: Rows) -> dict[str, Any]:
    """Sign flips over whole seeds, and over whole questions: for other seeds, and for these very students."""
    seed = derive_seed("permutation")
    seeds = sign_flips([fmean(row) for row in rows], seed=seed)
    questions = sign_flips([fmean(column) for column in zip(*rows, strict=True)], seed=seed)
    return {"seeds": to_json(seeds) | {"least": 2 ** (1 - len(rows))}, "questions": to_json(questions)}


def saving_key(cost: str) -> str:
    """Where in what was told the saving of a cost stands."""
    return "saving_tokens" if cost == "tokens_out" else f"saving_{cost}"


def never(value: object) -> bool:
    """Whether a cost in what was told is none, because the accuracy was never reached."""
    return value == Reach.NEVER

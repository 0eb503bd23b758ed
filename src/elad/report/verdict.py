"""What a comparison says, in words and as a table."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from elad.report.compare import CANNOT, COSTS_MORE, ENOUGH_SEEDS, NOTHING, SAVES, TOO_FEW, never, saving_key
from elad.report.runs import COSTS

_PICKING = ("selector.", "uncertainty.", "prefilter.", "adaptive.")
"""Settings that decide what is picked, and nothing else."""
_FEW_SEEDS = 3
_UNEQUAL = 1.25
"""From so many times the other's spending on, it is worth telling how far two curves can be compared."""


def sentence(told: dict[str, Any]) -> str:
    """The answer in one sentence."""
    arm, reference, by, verdict = told["arm"], told["reference"], told["by"], told["verdict"]
    found = told[saving_key(by)]
    if told["same"]:
        return f"{NOTHING}: {arm} and {reference} are the same in every answer and every cost"
    core = _core(told, found)
    if verdict == TOO_FEW:
        return f"{TOO_FEW}: in one pair of runs, {core}; there is no interval"
    if found["interval"]:
        core += f" (95 % interval: {_range(found, by)})"
    if verdict in (NOTHING, CANNOT):
        return f"{verdict}: {core}"
    return core if verdict == SAVES else f"{arm} costs more: {core}"


def remarks(told: dict[str, Any]) -> Iterator[str]:
    """What has to be said beside the sentence, and what cannot be said."""
    yield from _contrary(told)
    yield from _of_seeds(told)
    yield from _of_arms(told)
    yield from _cut(told)
    yield from _unequal(told)
    yield from _open(told)


def _of_seeds(told: dict[str, Any]) -> Iterator[str]:
    """How few there are, and which do not count."""
    if told["seeds"] < ENOUGH_SEEDS and not told["same"]:
        yield (
            "one pair of runs cannot tell the method from the luck of its seed: no interval, no verdict; "
            "give at least two seeds of each arm, three to five are better"
        )
    elif told["seeds"] < _FEW_SEEDS and not told["same"]:
        yield "two seeds tell only very large differences: the interval is 12.7 standard errors wide to each side"
    if told["unpaired_seeds"]:
        seeds = ", ".join(map(str, told["unpaired_seeds"]))
        yield f"left out here, but not in plot and table of arms, as only one of the arms has them: seeds {seeds}"


def _of_arms(told: dict[str, Any]) -> Iterator[str]:
    """By what they are compared, with whom, how many, and what they differ in."""
    arm, reference, count = told["arm"], told["reference"], told["compared"]
    if told["by"] != "tokens_out":
        yield f"no output tokens were counted for an arm: the verdict goes by {COSTS[told['by']]}"
    if not told["reference_at_random"]:
        yield f"no single arm selects at random: {reference}, the first one given, is the reference"
    if count > 1:
        yield (
            f"{count} arms are held against {reference}, each at 95 %: where none differs, one of them still seems to "
            f"in up to {5 * count} of 100 such comparisons"
        )
    if others := [key for key in told["differs"] if not key.startswith(_PICKING)]:
        yield (
            f"{arm} and {reference} differ in more than what decides the picks, so the picks alone do not answer for "
            f"this: {', '.join(others)}"
        )


def _contrary(told: dict[str, Any]) -> Iterator[str]:
    """What another cost says, where that has the other sign, or is clear and the sentence is not."""
    found = told[saving_key(told["by"])]
    for cost in COSTS:
        other = told[saving_key(cost)]
        if cost == told["by"] or other is None or told["same"]:
            continue
        clear = other["verdict"] in (SAVES, COSTS_MORE) and other["verdict"] != found["verdict"]
        if clear or _sign(other) * _sign(found) < 0:
            yield f"by {COSTS[cost]} it is otherwise: {sentence(told | {'by': cost, 'verdict': other['verdict']})}"


def _sign(found: dict[str, Any]) -> int:
    """1 for what looks like a saving, -1 for the contrary, 0 where there is none of either."""
    if found["verdict"] in (SAVES, COSTS_MORE):
        return 1 if found["verdict"] == SAVES else -1
    if never(found["spent"]) != never(found["reference"]):
        return 1 if never(found["reference"]) else -1
    value = found["value"] or 0
    return (value > 0) - (value < 0)


def _open(told: dict[str, Any]) -> Iterator[str]:
    """Why there is no saving, or no end to it, and what can be said then."""
    found, arm, reference = told[saving_key(told["by"])], told["arm"], told["reference"]
    if never(found["reference"]):
        yield f"{reference} never reached {told['accuracy']:.1%}: give a lower --to-accuracy"
    if told["verdict"] == CANNOT:
        yield f"what can be said: {along_line(told)}"
    elif found["beyond"]:
        yield f"{arm} is clearly below that accuracy up to its end, and needs more than it has spent"
    elif not told["same"]:
        if found["interval"] and found["low"] is None:
            yield f"the interval is open below: at its end {arm} is not clearly above that accuracy, and may need more"
        if never(found["spent"]) and not never(found["reference"]) and not told["asked"]:
            yield (
                f"{reference} reaches {told['accuracy']:.1%} by construction, for it ends there: of two arms that are "
                "alike the other stays below in up to half of all comparisons, so by itself this shows nothing"
            )


def _cut(told: dict[str, Any]) -> Iterator[str]:
    """Which run ends long before others of its arm: means are over all seeds, so it cuts them all."""
    for name, ends in told["ends"].items():
        arm, longest, first, by = told[name], ends["longest"], ends["shortest"], told["by"]
        if longest >= _UNEQUAL * first["last"]:
            yield (
                f"{first['folder']} ({first['state']}) ended at {_amount(first['last'], by)} {COSTS[by]}, others of "
                f"{arm} at up to {_amount(longest, by)}: beyond the shortest run nothing of {arm} counts"
            )


def _unequal(told: dict[str, Any]) -> Iterator[str]:
    """How far two arms overlap of which one has spent much more, as a run does beside its control."""
    ends, by = told["ends"], told["by"]
    longer, shorter = sorted(ends, key=lambda name: -ends[name]["last"])
    last, end = ends[longer]["last"], ends[shorter]["last"]
    if last < _UNEQUAL * end:
        return
    within = ", within its first round, where its curve is a straight line between two measurements"
    yield (
        f"{told[shorter]} ended at {_amount(end, by)} {COSTS[by]}, {told[longer]} went on to {_amount(last, by)}: the "
        f"curves overlap up to there{within if ends[longer]['first'] >= end else ''}"
    )


def arms_table(told: dict[str, Any]) -> Table:
    """What each arm came to and spent, as means over its seeds."""
    table = Table(title=f"{told['heldout']} held-out questions, all seeds of each arm", title_justify="left")
    table.add_column("arm")
    currency = f" ({told['currency']})" if told["currency"] else ""
    for head in ("seeds", "last accuracy (range)", *(label(cost) for cost in COSTS)):
        table.add_column(head + (currency if head == "money" else ""), justify="right")
    for arm in told["arms"]:
        table.add_row(
            arm["name"],
            ", ".join(map(str, arm["seeds"])),
            f"{arm['accuracy']:.1%} ({arm['lowest']:.1%} to {arm['highest']:.1%})",
            *(_amount(arm[cost], cost) for cost in COSTS),
        )
    return table


def saving_table(told: dict[str, Any]) -> Table:
    """What one arm saves against the reference, by what is spent."""
    heading = f"{told['arm']} against {told['reference']}, to reach {told['accuracy']:.1%}, {_seeds(told)}"
    table = Table(title=heading, title_justify="left")
    table.add_column("")
    for head in (told["arm"], told["reference"], "saving", "95 % interval"):
        table.add_column(head, justify="right")
    for cost in COSTS:
        found = told[saving_key(cost)]
        if found is None:
            continue
        table.add_row(
            label(cost),
            _amount(found["spent"], cost),
            _amount(found["reference"], cost),
            "cannot be said" if found["value"] is None else f"{found['value']:.1%}",
            _range(found, cost) if found["interval"] else "cannot be said",
        )
    return table


def area_table(told: dict[str, Any]) -> Table:
    """The areas under the curves of an arm and the reference, by what is spent."""
    table = Table(title="mean accuracy along the curve, as far as all runs go", title_justify="left")
    for head in ("", "up to", told["arm"], told["reference"], "points more", "95 % interval"):
        table.add_column(head, justify="right" if head else "left")
    for cost, area in told["areas"].items():
        table.add_row(
            label(cost),
            _amount(area["common_end"], cost),
            f"{area['arm']:.1%}",
            f"{area['reference']:.1%}",
            f"{100 * area['value']:+.1f}",
            "cannot be said" if area["low"] is None else f"{100 * area['low']:+.1f} to {100 * area['high']:+.1f}",
        )
    return table


def along_line(told: dict[str, Any]) -> str:
    """The difference along the whole curve, by what the sentence goes by."""
    area = told["auc_difference"]
    points = f"mean accuracy along the curve: {100 * area['value']:+.1f} points"
    if area["low"] is not None:
        points += f" (95 % interval {100 * area['low']:+.1f} to {100 * area['high']:+.1f})"
    return f"{points}, up to {_amount(area['common_end'], area['over'])} {COSTS[area['over']]}"


def flips_line(told: dict[str, Any]) -> str | None:
    """The tests of that difference; None for one pair of runs, which has none."""
    if told["permutation"] is None:
        return None
    seeds, questions = told["permutation"]["seeds"], told["permutation"]["questions"]
    return (
        f"sign flips of that difference over {COSTS[told['by']]}: p = {seeds['p']:.3g} over seeds (the least that "
        f"{told['seeds']} can show is {seeds['least']:.3g}); {questions['p']:.3g} over questions, for these very "
        "students and no others"
    )


def label(cost: str) -> str:
    """A short head for a cost."""
    return COSTS[cost].removeprefix("teacher ")


def _core(told: dict[str, Any], found: dict[str, Any]) -> str:
    arm, reference, by, accuracy = told["arm"], told["reference"], told["by"], f"{told['accuracy']:.1%}"
    if never(found["reference"]):
        other = (
            "nor did" if never(found["spent"]) else f"with {_amount(found['spent'], by)} {COSTS[by]} it was reached by"
        )
        return f"{reference} never reached {accuracy}, {other} {arm}"
    if never(found["spent"]):
        needed = f"{_amount(found['reference'], by)} {COSTS[by]}"
        return f"{arm} never reached {accuracy}, which {reference} reached with {needed}"
    if found["value"] is None:
        return f"{reference} had {accuracy} before anything was bought"
    return f"{arm} reached {accuracy} with {_less(found['value'], by)} {COSTS[by]} than {reference}"


def _seeds(told: dict[str, Any]) -> str:
    return "1 seed" if told["seeds"] == 1 else f"{told['seeds']} seeds"


def _less(share: float, cost: str) -> str:
    fewer = "less" if cost == "money" else "fewer"
    return f"{share:.0%} {fewer}" if share >= 0 else f"{-share:.0%} more"


def _range(found: dict[str, Any], cost: str) -> str:
    """The interval of a saving in words; with no low end, the arm may need more than it has spent."""
    low, high = found["low"], found["high"]
    if found["beyond"] and high <= 0:
        return f"at least {abs(high):.0%} more"
    if low is not None and low >= 0:
        return f"{low:.0%} to {_less(high, cost)}"
    if low is not None and high < 0:
        return f"{-high:.0%} to {_less(low, cost)}"
    return f"{'open' if low is None else _less(low, cost)} to {_less(high, cost)}"


def _amount(value: Any, cost: str) -> str:
    if never(value):
        return "never reached"
    return f"{value:,.4f}" if cost == "money" else f"{value:,.0f}"

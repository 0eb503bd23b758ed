"""The picture of a comparison: accuracy against what was spent, one panel for each cost."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

from elad.errors import InputError
from elad.evaluation.bands import bands
from elad.evaluation.curves import Curve, accuracy_at, common_end, grid
from elad.records import derive_seed
from elad.report.runs import COSTS, Arm

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Of Okabe and Ito (2008), told apart by the colour-blind."""
_LINES = ("-", "--", "-.", ":", (0, (7, 2, 1, 2, 1, 2)))
_MARKS = ("o", "s", "^", "D", "v")
_SORTS = len(_COLOURS)
MOST_ARMS = _SORTS**2
"""More of them no picture tells apart."""
_POINTS = 40


def missing() -> InputError | None:
    """What to tell a user who wants a plot and has no matplotlib; None where it is there."""
    if find_spec("matplotlib") is None:
        return InputError("a plot needs matplotlib: pip install 'elad[plot]'")
    return None


def plot(told: dict[str, Any], arms: Sequence[Arm], target: Path) -> None:
    """Writes the picture, in the format of the file's ending (.svg, .png, .pdf).

    Raises: InputError where matplotlib is not installed, there are more arms than can be told apart, the ending is
    another, or the file cannot be written.
    """
    if len(arms) > MOST_ARMS:
        raise InputError(f"a plot tells {MOST_ARMS} arms apart, not {len(arms)}: compare some of them at a time")
    if lacking := missing():
        raise lacking
    mpl: Any = import_module("matplotlib")
    figures: Any = import_module("matplotlib.figure")
    costs = [cost for cost in COSTS if all(common_end(_curves(arm), cost) > 0 for arm in arms)]
    columns = min(2, len(costs))
    rows, names_high = -(-len(costs) // columns), 0.2 * (-(-len(arms) // 2) - 1)
    with mpl.rc_context({"svg.hashsalt": "elad", "svg.fonttype": "path", "font.size": 10}):
        figure: Any = figures.Figure(figsize=(4.8 * columns, 3.5 * rows + 1.2 + names_high), layout="constrained")
        panels: Any = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(panels.flat):
            if place < len(costs):
                _panel(axes, costs[place], told, arms)
                axes.yaxis.set_tick_params(labelleft=True)
            else:
                axes.set_visible(False)
        handles, names = panels.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside upper center", ncols=min(2, len(arms)), frameon=False, handlelength=3.5
        )
        figure.supxlabel(fill(caption(told), 60 * columns), fontsize=8.5, color="0.25")
        try:
            figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None, dpi=150)
        except (OSError, ValueError) as error:
            raise InputError(f"{target}: the plot cannot be written: {error}") from error


def _panel(axes: Any, cost: str, told: dict[str, Any], arms: Sequence[Arm]) -> None:
    """One cost: the mean of each arm with its band, and its single runs behind it, thin."""
    for arm, (colour, line, mark) in zip(arms, looks(len(arms)), strict=True):
        curves = _curves(arm)
        end = common_end(curves, cost)
        amounts = grid(end, _POINTS)
        band = bands(curves, cost, amounts, seed=derive_seed("bands"))
        lows, highs = ([100 * ends[i] for ends in band] for i in (0, 1))
        axes.fill_between(amounts, lows, highs, color=colour, alpha=0.16, lw=0)
        if len(curves) > 1:
            for curve in curves:
                axes.plot(curve.costs[cost], [100 * a for a in curve.accuracies], color=colour, lw=0.7, alpha=0.45)
        rounds = zip(*(curve.costs[cost] for curve in curves), strict=False)
        marked = [stop for stop in map(fmean, rounds) if stop <= end]
        seeds = f"{len(curves)} seed" + "s" * (len(curves) > 1)
        means = [100 * accuracy_at(curves, cost, amount) for amount in amounts]
        axes.plot(amounts, means, color=colour, ls=line, lw=2)
        places = [100 * accuracy_at(curves, cost, amount) for amount in marked]
        axes.plot(marked, places, color=colour, ls="", marker=mark, ms=4.5)
        axes.plot([], [], color=colour, ls=line, lw=2, marker=mark, ms=4.5, label=f"{arm.name} ({seeds})")
    axes.axhline(100 * told["accuracy"], color="0.35", lw=0.8, ls=(0, (2, 2)))
    unit = f" ({told['currency']})" if cost == "money" and told["currency"] else ""
    axes.set_xlabel(f"{COSTS[cost]}{unit}, so far")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:g}" if cost == "money" else "{x:,.0f}")
    axes.set_ylabel("held-out accuracy (%)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="0.9", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def caption(told: dict[str, Any]) -> str:
    """What the picture shows, in words."""
    seeds = ", ".join(f"{arm['name']}: {', '.join(map(str, arm['seeds']))}" for arm in told["arms"])
    several = any(len(arm["seeds"]) > 1 for arm in told["arms"])
    drawn = "seeds and questions, too narrow with few seeds" if several else "questions, without the luck of a seed"
    paired = ", on the seeds that both have" if told["unpaired_seeds"] else ""
    return (
        f"n = {told['heldout']} held-out questions; seeds {seeds}. "
        f"{'Thick: mean; thin: single runs; marks: mean cost of each round. ' if several else 'Marks: rounds. '}"
        f"Band: bootstrap at 95 % over {drawn}; it decides nothing. "
        f"Dotted: the accuracy at which the arms are compared ({told['accuracy']:.1%}){paired}."
    )


def _curves(arm: Arm) -> list[Curve]:
    return arm.curves(sorted(arm.seeds))


def looks(count: int) -> list[tuple[str, Any, str]]:
    """Colour, line and mark of so many arms, at most `MOST_ARMS`.

    Each alone tells up to five arms apart, any two of the three all of them.
    """
    places = [(place % _SORTS, place // _SORTS) for place in range(count)]
    return [
        (_COLOURS[sort], _LINES[(sort + turn) % _SORTS], _MARKS[(sort + 2 * turn) % _SORTS]) for sort, turn in places
    ]

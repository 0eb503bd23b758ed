"""Charts as SVG without style, script or link: `style.css` colours them, in light and dark and on paper.

Colours are of Okabe and Ito's palette (2008), told apart by the colour-blind; dashes, marks and hatching tell series
apart without any colour. Every text goes through `_put`, which escapes it and shows its marks of direction in words.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, log10

from markupsafe import Markup

from elad.report.page.document import Bars, Line, Lines, Shares
from elad.report.page.wording import visible

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 34, 48
_WIDEST_BAR = 60
_KEY, _CHARACTER = 46, 7
"""Room in a legend for the key of a series, and for a letter of its name."""
_ROW = 24
_NOTHING = 1e-9
_LABEL_CHARS = 34
_LABELS = 200
"""Width of the labels of bars that lie."""


def chart(drawn: Lines | Bars | Shares, name: str) -> Markup:
    """One chart; `name` is what a reader who does not see it is told."""
    match drawn:
        case Lines():
            height, parts = _HEIGHT, _lines(drawn)
        case Bars():
            height, parts = _HEIGHT, _bars(drawn)
        case Shares():
            height, parts = _ROW * len(drawn.rows) + 34, _shares(drawn)
    return _put(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>',
        _WIDTH,
        height,
        name,
        Markup("").join(parts),
    )


def _put(markup: str, *values: object) -> Markup:
    """Our own markup with values in its places, escaped."""
    return Markup(markup).format(*(visible(value) if type(value) is str else value for value in values))


def ticks(top: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to the first one at or above `top`, at most `most` steps apart; a billionth counts as 0.

    >>> ticks(7.3)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    >>> ticks(0.0)
    [0.0, 1.0]
    """
    if top < _NOTHING:
        return [0.0, 1.0]
    scale = 10.0 ** floor(log10(top / most))
    step = next(scale * nice for nice in (1, 2, 5, 10) if scale * nice * most >= top * (1 - _NOTHING))
    return [round(step * i, 12) for i in range(ceil(top / step - _NOTHING) + 1)]


class _Scale:
    """From values to places on the page."""

    def __init__(self, right: float, top: float) -> None:
        self.right, self.top = right, top

    def x(self, value: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.right, 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.top, 1)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)


def _lines(drawn: Lines) -> Iterable[Markup]:
    right = (
        1.0 if drawn.diagonal else max((x for line in drawn.lines for x, _ in (*line.points, *line.marks)), default=0)
    )
    marks = ticks(right, 5)
    scale = _Scale(marks[-1], 100)
    yield from _frame(scale, drawn.x, drawn.y, [(scale.x(mark), f"{mark:,.10g}") for mark in marks], ticks(100, 5))
    if drawn.diagonal:
        yield _put('<polyline class="even" points="{}"/>', scale.path([(0, 0), (1, 100)]))
    for place, line in enumerate(drawn.lines):
        yield from _line(scale, line, place)
    yield from _legend([line.name for line in drawn.lines], _line_key)


def _line(scale: _Scale, line: Line, place: int) -> Iterable[Markup]:
    if len(line.band) > 1:
        edge = [(x, high) for x, _, high in line.band] + [(x, low) for x, low, _ in reversed(line.band)]
        yield _put('<polygon class="band s{}" points="{}"/>', place, scale.path(edge))
    bars = line.bars or (line.band if len(line.band) == 1 else ())
    for x, low, high in bars:
        yield _put('<polyline class="line s{}" points="{}"/>', place, scale.path([(x, low), (x, high)]))
    if len(line.points) > 1:
        yield _put('<polyline class="line s{}" points="{}"/>', place, scale.path(line.points))
    for x, y in line.marks:
        yield _mark(scale.x(x), scale.y(y), place)


def _mark(x: float, y: float, place: int) -> Markup:
    if place == 0:
        return _put('<circle class="mark s0" cx="{}" cy="{}" r="4.5"/>', x, y)
    return _put('<rect class="mark s{}" x="{}" y="{}" width="8" height="8"/>', place, x - 4, y - 4)


def _bars(drawn: Bars) -> Iterable[Markup]:
    values = [value for _, amounts in drawn.series for value in amounts]
    marks = ticks(max(values, default=0.0), 5)
    scale = _Scale(len(drawn.categories), marks[-1])
    named = [(scale.x(i + 0.5), name) for i, name in enumerate(drawn.categories)]
    yield _hatch()
    yield from _frame(scale, drawn.x, drawn.y, named, marks)
    width = min((scale.x(1) - scale.x(0)) * 0.8, _WIDEST_BAR) / len(drawn.series)
    for place, (_, amounts) in enumerate(drawn.series):
        for i, amount in enumerate(amounts):
            x, y = scale.x(i + 0.5) + (place - len(drawn.series) / 2) * width, scale.y(amount)
            yield _bar(round(x, 1), y, round(width, 1), round(scale.y(0) - y, 1), place)
    yield from _legend([name for name, _ in drawn.series], _bar_key)


def _bar(x: float, y: float, width: float, height: float, place: int) -> Markup:
    return _put('<rect class="bar s{}" x="{}" y="{}" width="{}" height="{}"/>', place, x, y, width, height)


def _hatch() -> Markup:
    """What the second series is filled with: seen without colour."""
    return Markup(
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch-ground" width="6" height="6"/><line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/>'
        "</pattern></defs>"
    )


def _frame(
    scale: _Scale, x: str, y: str, across: Sequence[tuple[float, str]], upright: Sequence[float]
) -> Iterable[Markup]:
    """Grid, ticks and what the axes are called."""
    left, right, bottom = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for mark in upright:
        at = scale.y(mark)
        yield _put('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>', left, at, right, at)
        yield _put('<text class="tick end" x="{}" y="{}">{}</text>', left - 6, at + 4, f"{mark:,.10g}")
    for at, name in across:
        yield _put('<text class="tick middle" x="{}" y="{}">{}</text>', at, bottom + 17, name)
    yield _put('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>', left, bottom, right, bottom)
    yield _put('<text class="name middle" x="{}" y="{}">{}</text>', (left + right) / 2, _HEIGHT - 10, x)
    yield _put('<text class="name" x="4" y="12">{}</text>', y)


def _legend(names: Sequence[str], key: Callable[[float, float, int], Iterable[Markup]]) -> Iterable[Markup]:
    """Which series is which; nothing where there is one."""
    if len(names) < 2:
        return
    x = _WIDTH - sum(_KEY + _CHARACTER * len(name) for name in names)
    for place, name in enumerate(names):
        yield from key(x, 8, place)
        yield _put('<text class="name" x="{}" y="12">{}</text>', x + 30, name)
        x += _KEY + _CHARACTER * len(name)


def _line_key(x: float, y: float, place: int) -> Iterable[Markup]:
    yield _put('<polyline class="line s{}" points="{},{} {},{}"/>', place, x, y, x + 24, y)
    yield _mark(x + 12, y, place)


def _bar_key(x: float, y: float, place: int) -> Iterable[Markup]:
    yield _bar(x + 6, y - 5, 18, 10, place)


def _shares(drawn: Shares) -> Iterable[Markup]:
    top = max((value for _, value, _ in drawn.rows), default=0.0) or 1.0
    room = _WIDTH - _LABELS - 130
    for i, (name, value, told) in enumerate(drawn.rows):
        y, width = 30 + _ROW * i, round(max(0.0, room * value / top), 1)
        shown = name if len(name) <= _LABEL_CHARS else f"{name[: _LABEL_CHARS - 1]}…"
        yield _put('<text class="tick end" x="{}" y="{}">{}</text>', _LABELS - 8, y + 12, shown)
        yield _bar(_LABELS, y, max(width, 1.0), 16, 0)
        yield _put('<text class="tick" x="{}" y="{}">{}</text>', _LABELS + max(width, 1.0) + 6, y + 12, told)
    yield _put('<text class="name" x="{}" y="14">{}</text>', _LABELS, drawn.x)

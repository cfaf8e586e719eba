"""Numbers as tables print them."""

import math

from vmc.metrics.columns import Measure
from vmc.metrics.comparison import Difference
from vmc.metrics.statistics import Interval

NOTHING = "—"


def shown(number: float, measure: Measure, *, signed: bool = False) -> str:
    """A metric's value, in its own digits: `70.6` for a share of 0.706, `0.2818` for a cosine."""
    return rounded(number * 100 if measure.percent else number, measure.digits, signed=signed)


def rounded(number: float, digits: int, *, signed: bool = False) -> str:
    """A number with so many digits and a true minus; never -0.0."""
    if math.isnan(number):
        return NOTHING
    text = f"{number:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    elif signed and number > 0:
        text = f"+{text}"
    return text.replace("-", "−")


def with_interval(interval: Interval, measure: Measure) -> str:
    """`70.6 (65.1 to 75.9)`; the value alone where nothing tells how sure it is."""
    value = shown(interval.value, measure)
    if math.isnan(interval.low) or math.isnan(interval.high):
        return value
    return f"{value} ({shown(interval.low, measure)} to {shown(interval.high, measure)})"


def with_test(value: float, tested: Difference | None, measure: Measure, *, marked: bool) -> str:
    """`−3.7 (−5.1 to −2.3), p = 0.012*`; the value alone where it was not tested."""
    text = shown(value, measure, signed=True)
    if tested is None:
        return text
    ends = " to ".join(shown(end, measure) for end in (tested.low, tested.high))
    return f"{text} ({ends}), {p_value(tested.p_corrected)}{'*' if marked else ''}"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def plain(number: float | None) -> str:
    """For a machine: six digits after the point, empty where there is none."""
    return "" if number is None or math.isnan(number) else f"{number:.6f}"

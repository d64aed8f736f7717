"""The calmest way through a corridor: the shortest line that stays between two limits, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the line may pass at one moment: between `low` and `high`."""

    at_s: float
    low: float
    high: float


def calm_path(gates: Sequence[Gate]) -> list[tuple[float, float]]:
    """The turning points (time, value) of the taut string through the gates, whose times rise; both ends are free.

    Of all lines through the gates it is the shortest and has the smallest greatest speed; it stands still for as long
    as it can. One point when it never has to move.
    """
    points = [(gates[0].at_s, _beginning(gates))]
    at = 0
    while at < len(gates) - 1:
        turn = _next_turn(points[-1], gates, at)
        if turn is None:
            break
        at, value = turn
        points.append((gates[at].at_s, value))
    return points


def _beginning(gates: Sequence[Gate]) -> float:
    """The value that can be held longest from the first gate on, on the side to which the line has to go then."""
    low, high = gates[0].low, gates[0].high
    for gate in gates[1:]:
        if gate.low > high:
            return high
        if gate.high < low:
            return low
        low, high = max(low, gate.low), min(high, gate.high)
    return (low + high) / 2


def _next_turn(start: tuple[float, float], gates: Sequence[Gate], at: int) -> tuple[int, float] | None:
    """The gate, and the value in it, at which the straight line from `start` ends; None when it can go on flat."""
    least, most = float("-inf"), float("inf")
    lowest = highest = at
    for n in range(at + 1, len(gates)):
        gate, passed_s = gates[n], gates[n].at_s - start[0]
        up, down = (gate.low - start[1]) / passed_s, (gate.high - start[1]) / passed_s
        if up > most:
            return highest, gates[highest].high
        if down < least:
            return lowest, gates[lowest].low
        if up >= least:
            least, lowest = up, n
        if down <= most:
            most, highest = down, n
    if least > 0:
        return lowest, gates[lowest].low
    if most < 0:
        return highest, gates[highest].high
    return None

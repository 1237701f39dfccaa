"""What a baseline can detect: the smallest change that is found within some number of windows.

A stream of bets on a change of size e grows by G(e) = n' E_e[ln bet] a window, n' = n / (1 + n rho)
being what the window is worth; it alarms when it has reached L = ln(ARL / weight) + ln(number of
streams it is averaged with). So within W windows the change with W G(e) = L is found in about half
of the cases (Wald 1945: the mean of the log is what grows). Only the one stream that looks for just
this change is counted; changes of several features or heads at once are found earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from monitor.drift.bets import LAMBDAS, SHARES, SIGMA, STAKES, RankBets
from monitor.drift.evidence import temper
from monitor.drift.fitted import Fitted
from monitor.drift.measures import PARTS
from monitor.drift.tokens import GAINED
from monitor.records import ChannelName

WINDOWS = (1, 10, 100)
LARGEST_SHIFT = 5.0
_FAR = 1
"""Of ``bets.UNUSUAL``: the samples more unusual than 95 % of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestEffect:
    """``change`` in words; ``within`` the ``WINDOWS``: the smallest size, None if none is ever found.

    ``unit`` is ``sd`` of the baseline or ``share`` of the requests.
    """

    channel: ChannelName
    change: str
    unit: str
    within: tuple[float | None, ...]


def smallest_effects(fitted: Fitted, samples: int) -> tuple[SmallestEffect, ...]:
    """What is found with windows of ``samples`` within 1, 10 and 100 of them."""
    found = []
    worth = temper(samples) * samples
    heads = fitted.measures.get("heads")
    if heads is not None:
        parts = 1 if heads.whole is None else len(PARTS)
        limit = fitted.budget.limit("heads") + math.log(parts)
        found.append(_shift(heads.bets, worth, limit, "heads", "one statistic of one head moves"))
        if heads.whole is not None:
            charts = heads.whole.novelty.bets
            paid, rho = float(np.median(charts.paid[_FAR])), float(np.median(charts.rho[2 + _FAR]))
            cost = limit + math.log(heads.whole.novelty.charts * len(charts.kinds) * STAKES)
            growth = _tail_growth(paid, _counted(charts, 2 + _FAR, worth, rho))
            change = "requests unlike 95 % of the baseline's"
            found.append(_effect("heads", change, "share", growth, cost, 1.0))
    if fitted.words.total[0]:
        bound = fitted.words.unseen[0]
        cost = fitted.budget.limit("tokens") + math.log(fitted.words.vocabulary * len(GAINED) * 2.5)
        growth = _word_growth(bound, worth)
        found.append(_effect("tokens", "a word never seen before", "share", growth, cost, 1.0))
    prediction = fitted.measures.get("prediction")
    if prediction is not None:
        limit = fitted.budget.limit("prediction")
        found.append(_shift(prediction.bets, worth, limit, "prediction", "one prediction measure moves"))
    return tuple(found)


def _shift(bets: RankBets, worth: float, limit: float, channel: ChannelName, change: str) -> SmallestEffect:
    slack, rho = float(np.median(bets.tolerance[0])), float(np.median(bets.rho[0]))
    cost = limit + math.log(bets.tolerance.shape[1] * len(bets.kinds) * STAKES)
    counted = _counted(bets, 0, worth, rho)

    def growth(shift: float) -> float:
        edge = 2 * float(ndtr(shift / math.sqrt(2))) - 1 - slack
        gains = [bet * edge - 0.5 * bet**2 * (SIGMA[0] ** 2 + edge**2) for bet in LAMBDAS]
        return max(samples * gain for samples, gain in zip(counted, gains, strict=True))

    return _effect(channel, change, "sd", growth, cost, LARGEST_SHIFT)


def _counted(bets: RankBets, score: int, worth: float, rho: float) -> list[float]:
    """How many samples a window counts for, for each stake."""
    return [min(worth / (1 + worth * rho), float(np.median(most))) for most in bets.most[score]]


def _tail_growth(paid: float, counted: Sequence[float]) -> Callable[[float], float]:
    def growth(share: float) -> float:
        hit = 0.05 + share * 0.95
        gains = [
            hit * math.log((paid + bet * (1 - paid)) / paid) + (1 - hit) * math.log1p(-bet) for bet in SHARES
        ]
        return max(samples * gain for samples, gain in zip(counted, gains, strict=True))

    return growth


def _word_growth(bound: float, worth: float) -> Callable[[float], float]:
    def growth(share: float) -> float:
        gains = [
            share * math.log(rate / bound) + (1 - share) * math.log((1 - rate) / (1 - bound))
            for rate in GAINED
            if rate > 1.2 * bound
        ]
        return worth * max(gains, default=-1.0)

    return growth


def _effect(
    channel: ChannelName,
    change: str,
    unit: str,
    growth: Callable[[float], float],
    cost: float,
    largest: float,
) -> SmallestEffect:
    within = tuple(_smallest(growth, cost / windows, largest) for windows in WINDOWS)
    return SmallestEffect(channel=channel, change=change, unit=unit, within=within)


def _smallest(growth: Callable[[float], float], wanted: float, largest: float) -> float | None:
    """The smallest size in (0, largest] that grows by ``wanted`` a window, by bisection."""
    low, high = 0.0, largest
    if growth(high) < wanted:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if growth(middle) >= wanted else (middle, high)
    return high

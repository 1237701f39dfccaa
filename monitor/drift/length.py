"""Length taken out of every feature, so that longer inputs alone are not drift of the heads.

z = (x - median) / sd; r = z - cubic(l); result = r / exp(a + b l), scaled to sd 1,
where l = log token count, standardised and clipped to the baseline's .5-99.5 %, and (a, b) is the
least-squares line of ln(|r| + .05). Length itself is watched in the channel ``input``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_SD = 1e-3
"""Below this a feature is constant: numerical noise must not be magnified into drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthModel:
    """Fitted on the baseline; ``apply`` turns (sample, feature) into length-free units of 1 sd.

    ``median``, ``sd`` and ``scale`` (feature); ``cubic`` (4, feature); ``line`` (2, feature).
    ``length`` = mean, sd, lowest and highest log token count. With ``use`` false only the
    standardisation remains.
    """

    median: NDArray[np.float64]
    sd: NDArray[np.float64]
    cubic: NDArray[np.float64]
    line: NDArray[np.float64]
    scale: NDArray[np.float64]
    length: tuple[float, float, float, float]

    def apply(self, values: NDArray[np.floating], log_tokens: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardised residuals (sample, feature) of ``values`` at lengths ``log_tokens`` (sample,)."""
        powers = _powers(log_tokens, self.length)
        residual = (values - self.median) / self.sd - powers @ self.cubic
        result: NDArray[np.float64] = residual / (np.exp(powers[:, :2] @ self.line) * self.scale)
        return result


def fit_length(
    values: NDArray[np.floating], log_tokens: NDArray[np.floating], *, use: bool = True
) -> LengthModel:
    """Fit on the baseline: values (sample, feature), log token counts (sample,)."""
    values = np.asarray(values, dtype=np.float64)
    spread = values.std(axis=0)
    median = np.median(values, axis=0)
    sd = np.maximum(spread, SMALLEST_SD)
    low, high = np.quantile(log_tokens, [0.005, 0.995]) if len(log_tokens) else (0.0, 0.0)
    length = (float(np.mean(log_tokens)), max(float(np.std(log_tokens)), 1e-6), float(low), float(high))
    powers = _powers(log_tokens, length)
    standard = (values - median) / sd
    cubic = np.zeros((4, values.shape[1]))
    line = np.zeros((2, values.shape[1]))
    residual = standard - standard.mean(axis=0) if not use else standard
    if use:
        cubic = np.linalg.lstsq(powers, standard, rcond=1e-9)[0]
        residual = standard - powers @ cubic
        line = np.linalg.lstsq(powers[:, :2], np.log(np.abs(residual) + 0.05), rcond=1e-9)[0]
        line[:, spread < SMALLEST_SD] = 0.0
    else:
        cubic[0] = standard.mean(axis=0)
    scaled = residual / np.exp(powers[:, :2] @ line)
    scale = np.where(spread < SMALLEST_SD, 1.0, np.maximum(scaled.std(axis=0), 1e-6))
    return LengthModel(median=median, sd=sd, cubic=cubic, line=line, scale=scale, length=length)


def _powers(
    log_tokens: NDArray[np.floating], length: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    mean, sd, low, high = length
    standard = (np.clip(np.asarray(log_tokens, dtype=np.float64), low, high) - mean) / sd
    return np.stack([standard**power for power in range(4)], axis=1)

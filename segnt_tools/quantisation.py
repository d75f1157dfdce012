"""Probabilities in 8 bits: a linear code of the logit.

Code 0 is probability 0 (an N, or no prediction). Codes 1 to 255 are logits from -10 to 10 in steps of 20/254 = 0.0787,
so that rounding changes a logit by at most 0.0394 and a probability by at most 0.0099 (at 0.5; by at most 4.1 % of the
smaller of p and 1-p elsewhere). Logits beyond the ends are clipped to probabilities 0.0000454 and 0.9999546.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOGIT_LIMIT = 10.0
STEPS = 254
STEP = 2 * LOGIT_LIMIT / STEPS

FloatArray = NDArray[np.float32]
CodeArray = NDArray[np.uint8]


def _probability_table() -> FloatArray:
    logits = (np.arange(256, dtype=np.float64) - 1) * STEP - LOGIT_LIMIT
    table = 1 / (1 + np.exp(-logits))
    table[0] = 0.0
    return table.astype(np.float32)


def _logit_table() -> FloatArray:
    table = (np.arange(256, dtype=np.float64) - 1) * STEP - LOGIT_LIMIT
    table[0] = -np.inf
    return table.astype(np.float32)


PROBABILITY_OF_CODE = _probability_table()
LOGIT_OF_CODE = _logit_table()


def quantise(logits: FloatArray) -> CodeArray:
    """Codes of logits, any shape; minus infinity (and NaN, which no model may give) becomes 0."""
    scaled = np.rint((np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT) + LOGIT_LIMIT) * (1 / STEP)) + 1
    return np.where(np.isneginf(logits) | np.isnan(logits), 0, scaled).astype(np.uint8)


def code_at_least(probability: float) -> int:
    """The lowest code whose probability is at least this; 256 if there is none."""
    return int(np.searchsorted(PROBABILITY_OF_CODE, np.float32(probability), side="left"))

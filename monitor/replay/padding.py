"""Whether a model answers a padded row as it answers the row alone: tried at start-up, not assumed.

A mask keeps padding out of attention, but some heads read "the last position" whatever stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from monitor.replay.batches import Batch
from monitor.replay.reference import TOLERANCE, of_real

Answer = Callable[[Batch], Tensor]


def answers_alone(answer: Answer, rows: Sequence[Batch], padded: Batch) -> bool:
    """Whether ``answer`` of the padded batch says of each row what it says of the row alone.

    ``rows`` are batches of one row without padding, in the order of ``padded``. Only what stands at
    real tokens counts, where the answer has a token axis.
    """
    with torch.no_grad():
        together = answer(padded)
        for number, row in enumerate(rows):
            place = torch.tensor([number], device=padded.ids.device)
            alone = of_real(answer(row), row.read)
            given = of_real(together[place], padded.take(place).read)
            scale = max(1.0, float(alone.abs().max()))
            if not float((alone - given).abs().max()) <= TOLERANCE[together.dtype] * scale:
                return False
    return True

"""Rollout in its matrix form and in its vector form: one result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monitor.analysis.layout import TokenLayout
from monitor.analysis.tokens import rollout
from monitor.analysis.tokens.rollout import MatrixRollout, Rollout, VectorRollout, rollout_of
from tests.analysis import numpy_reference


def layers(width: int, *, causal: bool) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    scores = 4 * torch.randn(5, 2, 3, width, width, generator=draw)
    scores[..., 0] += 4  # a sink: half precision must not lose it
    if causal:
        scores = scores.masked_fill(~torch.ones(width, width, dtype=torch.bool).tril(), -1e30)
    return list(scores.softmax(dim=-1))


def feed(stream: Rollout, matrices: list[torch.Tensor], block: int) -> np.ndarray:
    for matrix in matrices:
        for start in range(0, matrix.shape[2], block):
            stream.add(matrix[:, :, start : start + block], start)
        stream.next_layer()
    return stream.readout_row().numpy()


@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_both_forms_equal_the_numpy_product(
    causal: bool, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = 41
    real = torch.ones(2, width, dtype=torch.bool)
    layout = TokenLayout.of(real, torch.zeros_like(real), causal=causal)
    matrices = layers(width, causal=causal)
    if half:
        monkeypatch.setattr(rollout, "EXACT_TOKENS", 8)
    vector = feed(VectorRollout(layout), matrices, 7)
    for row in range(2):
        wanted = numpy_reference.rollout_row([m[row].double().numpy() for m in matrices], causal=causal)
        np.testing.assert_allclose(feed(MatrixRollout(layout), matrices, 16)[row], wanted, atol=1e-6)
        np.testing.assert_allclose(vector[row], wanted, atol=1e-4 if half else 1e-6)


def test_long_inputs_take_the_vector_form() -> None:
    def form(width: int) -> type:
        real = torch.ones(1, width, dtype=torch.bool)
        return type(rollout_of(TokenLayout.of(real, torch.zeros_like(real), causal=False)))

    assert (form(128), form(1025)) == (MatrixRollout, VectorRollout)

"""Faithfulness by the paper's definition, for a model that is a table of token weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monitor.analysis.support import predicted, removed_rows, support
from monitor.analysis.tokens.faithfulness import Effect, faithfulness, ranking, removals
from monitor.records import Removal

WEIGHTS = np.array([0.0, 0.3, 0.05, 0.1, 0.02, 0.2, 0.01, 0.0])
CONTENT = range(1, 7)


def m(kept: set[int]) -> float:
    """Support that a linear model has left with these tokens."""
    return 0.2 + sum(WEIGHTS[list(kept)])


def effects(asked: frozenset[frozenset[int]]) -> dict[frozenset[int], Effect]:
    return {
        removed: Effect(support=m(set(range(8)) - removed), target=int(m(set(range(8)) - removed) > 0.5))
        for removed in asked
    }


def by_the_paper(values: np.ndarray) -> tuple[float, float]:
    """DeYoung et al. 2020, equations 1 and 2, averaged over the five bins (AOPC)."""
    everything, order = set(range(8)), sorted(CONTENT, key=lambda i: -values[i])
    comprehensiveness, sufficiency = [], []
    for share in (0.01, 0.05, 0.1, 0.2, 0.5):
        r = set(order[: int(np.ceil(share * len(order)))])
        comprehensiveness.append(m(everything) - m(everything - r))
        sufficiency.append(m(everything) - m(r | {0, 7}))
    return float(np.mean(comprehensiveness)), float(np.mean(sufficiency))


@pytest.mark.parametrize("seed", range(4))
def test_comprehensiveness_and_sufficiency_are_those_of_the_paper(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=8)
    ranked = ranking(values, CONTENT)
    found = faithfulness(ranked, effects(removals(ranked)))
    assert found is not None
    assert (found.comprehensiveness, found.sufficiency) == pytest.approx(by_the_paper(values))


def test_the_true_ranking_beats_its_reverse_on_both() -> None:
    results = []
    for values in (WEIGHTS, -WEIGHTS):
        ranked = ranking(values, CONTENT)
        results.append(faithfulness(ranked, effects(removals(ranked))))
    good, bad = results
    assert good is not None and bad is not None
    assert good.comprehensiveness > bad.comprehensiveness
    assert good.sufficiency < bad.sufficiency


def test_the_top_tokens_say_what_they_are_worth_and_whether_the_label_flips() -> None:
    ranked = ranking(WEIGHTS, CONTENT)
    found = faithfulness(ranked, effects(removals(ranked)))
    assert found is not None
    assert found.removals == (
        Removal(tokens=1, drop=pytest.approx(0.3), flips=False),
        Removal(tokens=3, drop=pytest.approx(0.6), flips=True),
        Removal(tokens=5, drop=pytest.approx(0.67), flips=True),
    )


def test_one_token_cannot_be_taken_out_of_a_text_of_one() -> None:
    assert removals((3,)) == frozenset()
    assert faithfulness((3,), {}) is None
    ranked = (2, 3)
    assert {len(removed) for removed in removals(ranked)} == {0, 1}


def test_support_is_the_probability_of_the_first_prediction_or_a_share_of_the_output() -> None:
    answers = torch.tensor([[1.0, 3.0], [2.0, -1.0]])
    targets, whole = torch.tensor([0, 0]), torch.tensor([4.0, 4.0])
    probability = answers.double().exp()[:, 0] / answers.double().exp().sum(dim=1)
    torch.testing.assert_close(support(answers, targets, "classes", whole), probability)
    torch.testing.assert_close(support(answers, targets, "token", whole), probability)
    torch.testing.assert_close(
        support(answers, targets, "labels", whole), 1 / (1 + (-answers.double()[:, 0]).exp())
    )
    torch.testing.assert_close(
        support(answers, targets, "value", whole), torch.tensor([0.25, 0.5], dtype=torch.float64)
    )
    direction = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(
        support(answers, direction, "embedding", whole), torch.tensor([0.75, -0.25], dtype=torch.float64)
    )
    assert predicted(answers, "classes").tolist() == [1, 0]
    assert predicted(answers, "embedding") is None


def test_support_of_a_labelling_a_span_and_a_completion_are_probabilities() -> None:
    logits = torch.tensor([[[1.0, 2.0, 0.5], [0.0, -1.0, 0.5]]])
    targets = torch.tensor([[[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]])
    label = [torch.tensor(pair).double().softmax(0) for pair in ([1.0, 2.0], [0.0, -1.0])]
    mean = (label[0][1] + label[1][0]) / 2
    assert float(support(logits, targets, "tokens", torch.ones(1))) == pytest.approx(float(mean))

    span = torch.tensor([[[5.0, 9.0, 0.0], [1.0, 0.5, 1.0], [0.0, 2.0, 1.0]]])
    targets = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    start = torch.tensor([1.0, 0.0]).double().softmax(0)[0]
    end = torch.tensor([0.5, 2.0]).double().softmax(0)[1]
    assert float(support(span, targets, "span", torch.ones(1))) == pytest.approx(float(start * end))

    served = torch.tensor([[[np.log(0.5), 0.1, 7.0, 0.5], [np.log(0.125), 0.1, 8.0, 0.5]]])
    targets = torch.zeros_like(served)
    targets[..., 0] = served[..., 3]
    assert float(support(served, targets, "completion", torch.ones(1))) == pytest.approx(0.25)


def test_removed_positions_count_from_the_first_real_token_on_either_side_of_the_padding() -> None:
    real = torch.tensor([[True, True, True, False], [False, True, True, True]])
    kept = removed_rows(real, [frozenset({1}), frozenset({0, 2})])
    assert kept.int().tolist() == [[1, 0, 1, 0], [0, 0, 1, 0]]

"""Each competitor does what its paper or library says, on features whose truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.detection.competitors import attribution, embedding, headwatch, kolmogorov, stability
from benchmarks.detection.competitors.calibration import matched_threshold, pooled_size, quiet_scores
from benchmarks.detection.competitors.listing import methods
from benchmarks.detection.competitors.method import Method, Reference
from benchmarks.detection.pools import Pool, World
from monitor.records import Features
from tests.drift.synthetic import STATISTICS, draw_features, identity

WORLD = World(
    name="small",
    identity=identity(),
    statistics=(*STATISTICS[:-1], "output_norm"),
    pools={},
    readings={},
)


def pool_of(features: Features, pooled: np.ndarray) -> Pool:
    return Pool(features=features, pooled=pooled.astype(np.float32), labels=np.full(len(features), -1))


def draw_pool(rng: np.random.Generator, count: int, *, shift: float = 0.0) -> Pool:
    """``shift`` in sd on every head, on the embedding and on the predictions; a word in that share."""
    features = draw_features(rng, count, trigger=min(shift, 1.0), prediction_shift=shift)
    features = replace(features, profile=features.profile + np.float32(0.1 * shift))
    return pool_of(features, rng.normal(size=(count, 4)) + shift)


def reference(rng: np.random.Generator, count: int = 400, mean_windows: float = 1000) -> Reference:
    return Reference(
        world=WORLD, baseline=draw_pool(rng, count), size=100, mean_windows=mean_windows, draw=rng
    )


def test_the_kolmogorov_smirnov_distance_is_that_of_scipy_with_and_without_ties():
    rng = np.random.default_rng(1)
    own = np.round(rng.normal(size=(300, 6)), 1).astype(np.float32)
    window = np.round(rng.normal(0.2, 1.2, size=(80, 6)), 1).astype(np.float32)
    own[:, 3:], window[:, 3:] = rng.normal(size=(300, 3)), rng.normal(size=(80, 3))
    wanted = [stats.ks_2samp(window[:, i], own[:, i], method="asymp").statistic for i in range(6)]
    found = kolmogorov.SortedColumns.of(own).distances(window)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.12, 0.16, 0.2, 0.3, 0.5])
def test_bonferroni_and_benjamini_hochberg_decide_as_they_do_on_scipys_p_values(shift: float):
    rng = np.random.default_rng(2)
    decided = []
    for _ in range(20):
        own = rng.normal(size=(500, 12)).astype(np.float32)
        window = (rng.normal(size=(100, 12)) + shift).astype(np.float32)
        p = np.array([stats.ks_2samp(window[:, i], own[:, i], method="asymp").pvalue for i in range(12)])
        distances = kolmogorov.SortedColumns.of(own).distances(window)
        critical = np.array(kolmogorov.critical_distances(12, 500, 100))
        assert kolmogorov.any_by_bonferroni(distances, critical) == (p.min() <= 0.05 / 12)
        wanted = bool((stats.false_discovery_control(p) <= 0.05).any())
        assert kolmogorov.any_by_benjamini_hochberg(distances, critical) == wanted
        decided.append(wanted)
    if shift in (0.0, 0.5):
        assert sum(decided) <= 5 if shift == 0 else all(decided)


def test_a_matched_threshold_is_exceeded_about_as_rarely_as_asked():
    rng = np.random.default_rng(3)
    thresholds = [
        matched_threshold(np.abs(rng.normal(size=(240, 20))).max(axis=1)[:, None], 1000)[0] for _ in range(20)
    ]
    exceeded = (np.abs(rng.normal(size=(200_000, 20))).max(axis=1) > np.median(thresholds)).mean()
    assert 1 / 4000 < exceeded < 1 / 400


def test_scores_for_calibration_come_from_windows_that_the_reference_half_has_not_seen():
    rng = np.random.default_rng(4)
    given = reference(rng)
    numbered = replace(
        given, baseline=replace(given.baseline, labels=np.arange(len(given.baseline), dtype=np.int64))
    )

    def common(half: Pool):
        return lambda window: np.array([float(np.isin(window.labels, half.labels).sum())])

    assert quiet_scores(numbered, common).sum() == 0


def test_the_stability_index_is_its_definition_and_small_for_the_same_distribution():
    rng = np.random.default_rng(5)
    own = rng.normal(size=(4000, 2)).astype(np.float32)
    window = np.column_stack([rng.normal(size=4000), rng.normal(0.8, 1, 4000)]).astype(np.float32)
    found = stability.Deciles.of(own).index(window)
    for column in range(2):
        edges = np.quantile(own[:, column], np.arange(1, 10) / 10)
        p, q = (np.bincount(np.searchsorted(edges, v[:, column]), minlength=10) / 4000 for v in (own, window))
        assert found[column] == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=0.02)
    assert found[0] < 0.01
    assert found[1] > 0.2


def test_a_bin_that_a_window_leaves_empty_gives_a_finite_index():
    own = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    assert np.isfinite(stability.Deciles.of(own).index(np.full((50, 1), 0.5, dtype=np.float32))).all()


def test_ndcg_is_one_for_the_same_ranks_and_less_for_others():
    before = np.array([8.0, 4.0, 2.0, 1.0])
    assert attribution.ndcg(before, before * 3) == 1.0
    reverse = attribution.ndcg(before, -before)
    ideal, other = (sum(a / np.log2(i + 2) for i, a in enumerate(v)) for v in ([8, 4, 2, 1], [1, 2, 4, 8]))
    assert reverse == pytest.approx(other / ideal)


def test_the_jensen_shannon_distance_is_zero_for_the_same_words_and_one_for_none_in_common():
    assert attribution.divergence(Counter(a=2, b=1), Counter(a=4, b=2)) == pytest.approx(0, abs=1e-7)
    assert attribution.divergence(Counter(a=2), Counter(b=3)) == pytest.approx(1)


def test_mmd_of_a_split_of_the_sample_is_that_of_the_two_parts():
    rng = np.random.default_rng(6)
    values = rng.normal(size=(60, 3))
    kernel = np.exp(-embedding.squared_distances(values, values))
    found = embedding.permuted(kernel, 20, np.random.default_rng(7))
    draw = np.random.default_rng(7)
    for mmd in found[:5]:
        rows = draw.choice(60, 20, replace=False)
        rest = np.setdiff1d(np.arange(60), rows)
        others = kernel[np.ix_(rest, rest)]
        within = (others.sum() - np.trace(others)) / (40 * 39)
        parts = kernel[np.ix_(rows, rows)], kernel[np.ix_(rows, rest)]
        assert mmd == pytest.approx(embedding.unbiased_mmd(within, *parts), abs=1e-12)


def test_two_equal_samples_count_as_half_of_one():
    assert pooled_size(200, 200) == 100


def test_headwatch_as_a_method_says_what_its_verdicts_say():
    rng = np.random.default_rng(8)
    given = reference(rng, count=1000)
    decide = headwatch.WHOLE.fit(given)()
    windows = [draw_pool(rng, 100, shift=0.0 if i < 3 else 1.0) for i in range(6)]
    assert [decide(window) for window in windows[:3]] == [(False,)] * 3
    assert any(decide(window) == (True,) for window in windows[3:])


def test_predictions_alone_hear_nothing_of_heads_words_and_inputs():
    rng = np.random.default_rng(9)
    given = reference(rng, count=1000)
    decide = headwatch.PREDICTIONS.fit(given)()
    quiet = draw_pool(rng, 100)
    moved = replace(
        quiet,
        features=replace(draw_pool(rng, 100, shift=3.0).features, prediction=quiet.features.prediction),
    )
    assert [decide(moved) for _ in range(3)] == [(False,)] * 3


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[list[bool], list[bool]]]:
    """What every quick method that is installed says of six quiet windows, and of three of another world."""
    rng = np.random.default_rng(10)
    given = reference(rng)
    quiet = [draw_pool(rng, 100) for _ in range(6)]
    shifted = [draw_pool(rng, 100, shift=2.0) for _ in range(3)]
    said: dict[str, tuple[list[bool], list[bool]]] = {}
    for method in installed():
        decide = method.fit(given)()
        before, after = [decide(w) for w in quiet], [decide(w) for w in shifted]
        for index, name in enumerate(method.names):
            said[name] = ([one[index] for one in before], [one[index] for one in after])
    return said


def installed() -> list[Method]:
    return [method for method in methods() if method.installed() and not method.slow]


@pytest.mark.parametrize("method", [method for method in methods() if method.slow], ids=lambda m: m.names[0])
def test_a_slow_method_hears_it_too(method: Method):
    if not method.installed():
        pytest.skip(f"{method.names[0]}: is not installed; make bench-detection installs it")
    rng = np.random.default_rng(11)
    decide = method.fit(reference(rng))()
    assert decide(draw_pool(rng, 100, shift=2.0)) == (True, True)


def test_every_method_hears_a_shift_of_everything_by_two_deviations(found):
    deaf = {name for name, (_, after) in found.items() if not any(after)}
    # ranks of attributions hardly move when all of them grow alike: that is what is measured
    assert deaf <= {"NDCG < .9 of heads", "NDCG < .9 of words"}


def test_methods_at_the_matched_rate_are_silent_on_quiet_windows(found):
    silent = {name for name in found if name.endswith("matched rate") or name.startswith("headwatch")}
    assert {name: found[name][0] for name in silent if any(found[name][0])} == {}


def test_names_are_told_apart():
    names = [name for method in methods() for name in method.names]
    assert len(names) == len(set(names))

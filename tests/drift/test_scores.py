"""Laws of the parts that turn features into bets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from monitor.drift.bets import EXTREMES, fit_bets
from monitor.drift.blocks import intraclass, time_blocks, worth
from monitor.drift.direction import SHAPE, fit_direction
from monitor.drift.evidence import Streams, fresh, temper
from monitor.drift.length import fit_length
from monitor.drift.naming import named
from monitor.drift.novelty import fit_novelty
from monitor.drift.rates import lower_bound, upper_bound


def test_length_is_taken_out_of_mean_and_spread():
    rng = np.random.default_rng(0)
    length = rng.normal(3, 0.5, 4000)
    values = (length**2 + np.exp(0.5 * length) * rng.normal(size=4000))[:, None]
    model = fit_length(values, length)
    residual = model.apply(values, length)[:, 0]
    longer = length > 3.3
    assert abs(residual[longer].mean()) < 0.06
    assert abs(residual[longer].std() - residual[~longer].std()) < 0.15
    assert abs(residual.std() - 1) < 1e-9


def test_length_beyond_the_baseline_is_clipped():
    length = np.linspace(2, 4, 500)
    model = fit_length(length[:, None] * 1.0, length)
    assert np.isfinite(model.apply(np.array([[4.0]]), np.array([50.0]))).all()


def test_a_constant_feature_stays_a_small_number_under_numerical_noise():
    rng = np.random.default_rng(1)
    values = 0.25 + 1e-7 * rng.normal(size=(500, 1))
    model = fit_length(values, rng.normal(3, 0.5, 500))
    assert np.abs(model.apply(values, rng.normal(3, 0.5, 500))).max() < 0.01


@pytest.mark.parametrize("samples", [100, 300, 500, 1000, 2000])
def test_bets_on_fresh_samples_of_the_same_kind_lose_on_average(samples):
    rng = np.random.default_rng(samples)
    kinds = [
        rng.normal(size=(samples + 20000, 20)),
        rng.exponential(size=(samples + 20000, 20)),
        rng.integers(0, 3, size=(samples + 20000, 20)).astype(float),
        np.zeros((samples + 20000, 2)),
        (rng.random((samples + 20000, 20)) < 0.005).astype(float),
    ]
    values = np.concatenate(kinds, axis=1)
    values = (values - values[:samples].mean(axis=0)) / np.maximum(values[:samples].std(axis=0), 1e-3)
    bets = fit_bets(values[:samples], np.arange(float(samples)))
    gains = bets.gains(bets.scores(bets.ranks(values[samples:])))
    assert gains.max() < 0


def test_a_shift_of_one_feature_wins_there_and_nowhere_else():
    rng = np.random.default_rng(2)
    bets = fit_bets(rng.normal(size=(2000, 5)), np.arange(2000.0))
    window = rng.normal(size=(200, 5))
    window[:, 3] += 0.8
    gains = bets.gains(bets.scores(bets.ranks(window))).max(axis=(1, 2))
    assert gains[3] > 10
    assert np.delete(gains, 3).max() < 3


def test_a_feature_that_was_constant_wins_when_it_changes():
    bets = fit_bets(np.zeros((500, 1)), np.arange(500.0))
    assert bets.gains(bets.scores(bets.ranks(np.ones((100, 1))))).max() > 10


def test_wobble_between_time_blocks_widens_the_tolerance():
    rng = np.random.default_rng(3)
    times = np.arange(2000.0)
    blocks = time_blocks(times)
    steady = rng.normal(size=(2000, 1))
    wobbling = steady + 0.3 * rng.normal(size=20)[blocks][:, None]
    assert fit_bets(wobbling, times).tolerance[0, 0] > fit_bets(steady, times).tolerance[0, 0] + 0.05
    assert intraclass(steady, times)[0] == 0
    assert 0.04 < intraclass(wobbling, times)[0] < 0.14


def test_wobble_of_a_location_is_paid_for_by_its_spread_and_by_its_rare_tails():
    rng = np.random.default_rng(4)
    times = np.arange(2000.0)
    steady = rng.normal(size=(2000, 40))
    moved = steady + 0.3 * rng.normal(size=(20, 40))[time_blocks(times)]
    quiet, wobbling = (fit_bets(values, times, EXTREMES) for values in (steady, moved))
    found = wobbling.rho[0] > 0
    assert found.mean() > 0.9
    assert (wobbling.rho[1:, found] > 0).all()
    assert np.median(wobbling.tolerance[1]) > np.median(quiet.tolerance[1])
    assert (np.median(wobbling.paid, axis=1) > np.median(quiet.paid, axis=1)).all()


def test_a_direction_pays_for_wobble_that_no_single_feature_shows_at_either_scale():
    shared = {}
    for name, blocks, sd in (("none", 60, 0.0), ("in 20 blocks", 20, 0.1), ("in 60 blocks", 60, 0.06)):
        rng = np.random.default_rng(5)
        times = np.arange(1980.0)
        wobble = sd * rng.normal(size=(blocks, 216))
        values = rng.normal(size=(1980, 216)) + wobble[time_blocks(times, blocks)]
        direction = fit_direction(values, np.zeros(1980, dtype=bool), times)
        shared[name] = direction.teachers[0].shared
    assert shared["none"] == 0
    # the mean over whitened components is the wobble's variance, as far as so few blocks show it
    assert 0.005 < shared["in 20 blocks"] < 0.02
    assert 0.0018 < shared["in 60 blocks"] < 0.0072


def test_time_blocks_follow_time_and_not_the_order_of_the_rows():
    assert time_blocks(np.array([3.0, 1.0, 2.0, 0.0])).tolist() == [15, 5, 10, 0]


def test_the_learned_direction_is_fair_on_quiet_windows_and_finds_a_shift_spread_over_all_features():
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(60, 60)) / 8 + np.eye(60)
    quiet = lambda count: rng.normal(size=(count, 60)) @ mixing
    usual = np.zeros(200, dtype=bool)
    direction = fit_direction(quiet(2000), np.zeros(2000, dtype=bool), np.arange(2000.0))
    memory, total, final = direction.fresh(), np.zeros(SHAPE), np.zeros(SHAPE)
    for _ in range(30):
        memory, gains = direction.play(memory, direction.scores(quiet(200)), usual)
        total += gains
    assert total.max() < 3
    for _ in range(3):
        window = quiet(200) + 0.15 * mixing.sum(axis=0) / 8 + 0.25
        memory, final = direction.play(memory, direction.scores(window), usual)
    assert final.max() > 10


def test_few_foreign_samples_are_found_by_charts_and_by_what_the_unusual_ones_teach():
    rng = np.random.default_rng(6)
    mixing = rng.normal(size=(60, 60)) / 4 + np.eye(60)
    foreign = rng.normal(size=60)
    quiet = lambda count: rng.normal(size=(count, 60)) @ mixing
    length, times = np.zeros(2000), np.arange(2000.0)
    reference = quiet(2000)
    novelty, own = fit_novelty(reference, length, times)
    direction = fit_direction(reference, novelty.unusual(novelty.bets.ranks(own)), times)
    charts = lambda values: novelty.bets.ranks(novelty.values(values, np.zeros(len(values))))

    def total(windows, share):
        memory, learned, chart = direction.fresh(), np.zeros(SHAPE), 0.0
        for _ in range(windows):
            window = quiet(200)
            window[: round(200 * share)] += 2.0 * foreign
            window = window[rng.permutation(200)]
            ranks = charts(window)
            memory, gains = direction.play(memory, direction.scores(window), novelty.unusual(ranks))
            learned = learned + gains
            chart = chart + novelty.bets.gains(novelty.bets.scores(ranks))
        return learned, chart

    learned, chart = total(20, 0.0)
    assert learned.max() < 3
    assert chart.max() < 3
    learned, chart = total(5, 0.06)
    assert chart.max() > 8
    assert learned[1].max() > 8


@pytest.mark.parametrize("samples", [100, 300])
def test_charts_of_a_small_baseline_take_fresh_samples_for_usual(samples):
    rng = np.random.default_rng(samples)
    draw = lambda count: (
        (rng.normal(size=(count, 80)) @ np.linspace(1, 2, 80)[:, None] * 0.1) + rng.normal(size=(count, 80))
    )
    lengths = lambda count: rng.normal(3, 0.4, count)
    novelty, _ = fit_novelty(draw(samples), lengths(samples), np.arange(float(samples)))
    ranks = novelty.bets.ranks(novelty.values(draw(4000), lengths(4000)))
    assert novelty.bets.gains(novelty.bets.scores(ranks)).max() < 0


@pytest.mark.parametrize("samples", [30, 200, 1000])
@pytest.mark.parametrize("wobble", [0.1, 0.15, 0.2])
def test_windows_of_any_size_that_wobble_like_the_baseline_win_nothing_in_the_long_run(samples, wobble):
    rng = np.random.default_rng(samples)
    baseline = rng.normal(size=(2000, 1)) + wobble * np.repeat(rng.normal(size=(20, 1)), 100, axis=0)
    bets = fit_bets(baseline, np.arange(2000.0))
    draw = lambda: rng.normal(size=(samples, 1)) + wobble * rng.normal()
    power = temper(samples)
    products = [bets.gains(bets.scores(bets.ranks(draw())), power)[0, :4] for _ in range(1500)]
    # each bet's mean product, what the guarantee is about, and not only its logarithm
    assert np.exp(products).mean(axis=0).max() <= 1.0


def test_a_window_is_worth_fewer_samples_the_more_they_move_together():
    assert worth(200, 0.0) == 1.0
    assert worth(200, 0.005) == 0.5
    assert 1000 * float(worth(1000, 0.01)) < 100


def test_shiryaev_roberts_alarms_no_more_often_than_it_says():
    rng = np.random.default_rng(5)
    limit, runs, lengths = 20.0, 400, []
    for _ in range(runs):
        streams, window = fresh((1,)), 0
        while streams.log_r[0] < np.log(limit):
            # a fair likelihood ratio: N(.5, 1) against N(0, 1)
            gain = 0.5 * rng.normal() - 0.125
            streams, window = streams.step(np.array([gain]), window), window + 1
        lengths.append(window)
    assert np.mean(lengths) > limit * (1 - 3 / np.sqrt(runs))


def test_the_change_is_dated_by_the_window_at_which_evidence_last_left_one():
    streams = fresh((1,))
    for window, gain in enumerate([-1.0, 0.5, -2.0, 1.0, 1.0]):
        streams = streams.step(np.array([gain]), window)
    assert streams.start.tolist() == [3]


def test_streams_come_back_from_arrays_as_they_were():
    streams = fresh((2, 3)).step(np.ones((2, 3)), 4)
    again = Streams.from_arrays(streams.to_arrays())
    assert np.array_equal(streams.log_r, again.log_r)
    assert np.array_equal(streams.start, again.start)


def test_large_windows_weigh_as_four_hundred_samples():
    assert temper(100) == 1.0
    assert temper(800) == 0.5


@pytest.mark.parametrize("hits", [0, 1, 7, 99, 100])
def test_rate_bounds_are_exact(hits):
    upper, lower = upper_bound([hits], 100, 0.01)[0], lower_bound([hits], 100, 0.01)[0]
    assert upper == 1 if hits == 100 else abs(binom.cdf(hits, 100, upper) - 0.01) < 1e-9
    assert lower == 0 if hits == 0 else abs(binom.sf(hits - 1, 100, lower) - 0.01) < 1e-9


def test_e_bh_names_none_of_noise_and_all_of_what_is_strong_together():
    limit = np.log(100)
    assert named([limit, 0.0, 1.0], count=3, log_limit=limit) == []
    both = limit + np.log(3 / 2)
    assert named([both, 0.0, both], count=3, log_limit=limit) == [0, 2]

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.image import imread

from monitor.report.figures import before_after_png, evidence_png, head_map_png
from tests.exporters.scenes import HEADS, LAYERS, alarmed, quiet

EFFECTS = np.linspace(0, 1.3, LAYERS * HEADS, dtype=np.float32).reshape(LAYERS, HEADS)


def pixels(png):
    return imread(io.BytesIO(png), format="png")


@pytest.mark.parametrize("layers,heads", [(1, 1), (2, 2), (6, 12), (80, 64)])
def test_a_head_map_of_any_model_is_a_picture_of_readable_size(layers, heads):
    effects = np.full((layers, heads), 0.2, dtype=np.float32)
    height, width, _ = pixels(head_map_png(quiet(), layers=layers, heads=heads, effects=effects)).shape
    assert 600 <= width <= 2500
    assert 200 <= height <= 2500


@pytest.mark.parametrize("layers", [*range(1, 9), 12, 16, 17, 18, 24, 32, 48])
def test_no_word_of_a_head_map_is_cut_off_at_the_edge_of_the_picture(layers):
    effects = np.full((layers, 4), 0.2, dtype=np.float32)
    flat = pixels(head_map_png(quiet(), layers=layers, heads=4, effects=effects))[..., :3]
    assert min(edge.min() for edge in (flat[0], flat[-1], flat[:, 0], flat[:, -1])) == 1.0


def test_a_head_that_moved_changes_the_colour_of_its_cell_only():
    moved = EFFECTS * 0
    flat = pixels(head_map_png(quiet(), layers=LAYERS, heads=HEADS, effects=moved))
    moved[3, 7] = 1.0
    after = pixels(head_map_png(quiet(), layers=LAYERS, heads=HEADS, effects=moved))
    changed = np.argwhere((after != flat).any(-1))
    height, width = np.ptp(changed, axis=0)
    assert 20 < height < 60
    assert 20 < width < 60


def test_named_heads_are_framed_and_without_effects_the_listed_heads_are_shown():
    plain = head_map_png(quiet(12), layers=LAYERS, heads=HEADS, effects=EFFECTS)
    framed = head_map_png(alarmed(12), layers=LAYERS, heads=HEADS, effects=EFFECTS)
    assert plain != framed
    assert head_map_png(alarmed(12), layers=LAYERS, heads=HEADS, effects=None) != framed


def test_signed_effects_get_a_palette_that_shows_the_sign():
    up = head_map_png(quiet(), layers=LAYERS, heads=HEADS, effects=EFFECTS)
    down = head_map_png(quiet(), layers=LAYERS, heads=HEADS, effects=-EFFECTS)
    assert up != down


def test_pictures_of_nothing_are_still_pictures():
    for png in (evidence_png([]), before_after_png(quiet()), evidence_png([quiet(), alarmed()])):
        assert pixels(png).shape[2] == 4


def test_figures_drawn_by_two_threads_are_those_drawn_by_one():
    def draw(_):
        return head_map_png(alarmed(), layers=LAYERS, heads=HEADS, effects=EFFECTS)

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(draw, range(4)))) == 1


def test_drawing_needs_no_pyplot_and_so_leaves_no_global_figure():
    code = "import sys, monitor.report.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

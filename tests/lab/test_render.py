"""Pixels of rendered scenes: the same for the same scene, and changed by events in exactly their frames."""

from dataclasses import replace

import numpy as np
import pytest

from videoperceiver.lab.render import COLOURS, STRIP_COLOURS, TINT, Event, Scene, Thing, render, screen_positions

RIGHT = Thing("square", "red", 4, ((0.0, 8.0, 16.0), (15.0, 24.0, 16.0)))
DISC = Thing("disc", "blue", 3, ((0.0, 16.0, 25.0), (15.0, 16.0, 25.0)))
EVENTS = [
    Event("flash", 5, 2, "green", 0.05),
    Event("pop", 5, 2, "yellow", 0.1, 24.0, 8.0, 3.0),
    Event("jump", 5, 2, x_px=0.0, y_px=-9.0),
    Event("swap", 5, 2),
    Event("hit", 5, 2, x_px=7.0),
]


def test_equal_scenes_have_equal_pixels_and_other_seeds_do_not():
    scene = Scene(seed=3, things=(RIGHT,), tint="blue")
    assert np.array_equal(render(scene), render(replace(scene)))
    assert not np.array_equal(render(scene), render(replace(scene, seed=4)))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_changes_exactly_its_frames(event):
    without = Scene(seed=0, things=(RIGHT, DISC))
    changed = (render(replace(without, events=(event,))) != render(without)).any((1, 2, 3))
    assert np.flatnonzero(changed).tolist() == [5, 6]


def test_a_flash_leans_the_whole_frame_towards_its_colour_by_alpha():
    without = Scene(seed=0, things=(RIGHT,), strips=(("top", 2),), noise=0.0)
    before, after = (render(scene).astype(float)[4] for scene in (without, replace(without, events=(Event("flash", 4, 1, "red", 0.25),))))
    expected = before + 0.25 * (np.array(COLOURS["red"]) - before)
    assert np.abs(after - expected).max() <= 1  # both were rounded


def test_a_pop_is_a_disc_of_its_colour_where_it_was_asked_for():
    frames = render(Scene(seed=0, events=(Event("pop", 2, 1, "yellow", 1.0, 10.0, 20.0, 3.0),), noise=0.0)).astype(float)
    is_yellow = (frames[2] == COLOURS["yellow"]).all(-1)
    rows, columns = np.nonzero(is_yellow)
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == (20.0, 10.0)
    covered = ((frames[2] - frames[1]) / (np.array(COLOURS["yellow"]) - frames[1]))[..., 2].sum()  # its edge is antialiased
    assert covered == pytest.approx(np.pi * 3**2, rel=0.06)


def test_things_follow_their_waypoints_and_the_camera_moves_them_the_other_way():
    still = screen_positions(Scene(seed=0, things=(RIGHT,)))[0]
    assert still[0].tolist() == [8.0, 16.0]
    assert still[15].tolist() == [24.0, 16.0]
    panned = screen_positions(Scene(seed=0, things=(RIGHT,), camera="right"))[0]
    assert panned[15].tolist() == [24.0 - 12.0, 16.0]
    zoomed = screen_positions(Scene(seed=0, things=(RIGHT,), camera="in"))[0]
    assert zoomed[15].tolist() == [16.0 + 1.5 * 8.0, 16.0]


@pytest.mark.parametrize("camera", ["left", "right", "up", "down", "in", "out", "shake"])
def test_a_moving_camera_moves_the_background(camera):
    frames = render(Scene(seed=0, camera=camera, noise=0.0)).astype(float)
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.2
    assert np.array_equal(render(Scene(seed=0, camera="still", noise=0.0))[0], render(Scene(seed=0, noise=0.0))[15])


def test_strips_and_tint_are_where_they_should_be():
    frame = render(Scene(seed=0, tint="red", strips=(("top", 0), ("bottom", 1), ("left", 2)), noise=0.0))[0]
    assert (frame[:2] == STRIP_COLOURS[0]).all()
    assert (frame[-2:] == STRIP_COLOURS[1]).all()
    assert (frame[2:-2, :2] == STRIP_COLOURS[2]).all()
    lean = np.median(frame[4:-4, 4:].reshape(-1, 3), 0) - np.median(render(Scene(seed=0, noise=0.0))[0][4:-4, 4:].reshape(-1, 3), 0)
    assert np.allclose(lean, TINT * (np.array(COLOURS["red"]) - 108), atol=1.5)


def test_noise_has_the_asked_deviation():
    quiet, noisy = render(Scene(seed=0, noise=0.0)).astype(float), render(Scene(seed=0, noise=3.0)).astype(float)
    assert (noisy - quiet).std() == pytest.approx(3.0, abs=0.1)

"""Contact sheets show every scene and mark exactly the event frames."""

import numpy as np

from videoperceiver.lab.render import Event, Scene, Thing, render
from videoperceiver.lab.sheet import MARK, contact_sheet

SCENE = Scene(seed=0, things=(Thing("square", "red", 4, ((0.0, 8.0, 16.0), (15.0, 24.0, 16.0))),), events=(Event("flash", 3, 2, "green", 0.5),))


def test_a_row_a_scene_with_event_frames_marked():
    sheet = contact_sheet([SCENE, SCENE], scale=2)
    row = 2 * 32 + 6
    assert sheet.shape == (2 * row, 16 * (2 * 32 + 2), 3)
    assert np.array_equal(sheet[:row], sheet[row:])
    marked = (sheet[0].reshape(16, -1, 3)[:, 0] == MARK).all(-1)
    assert np.flatnonzero(marked).tolist() == [3, 4]
    assert np.array_equal(sheet[4 : 4 + 64 : 2, 0:64:2], render(SCENE)[0])


def test_of_a_long_clip_the_frames_around_its_first_event_are_shown():
    long = Scene(seed=0, num_frames=100, things=SCENE.things, events=(Event("flash", 60, 1, "green", 0.5),))
    sheet = contact_sheet([long], scale=1)
    marked = (sheet[0].reshape(16, -1, 3)[:, 0] == MARK).all(-1)
    assert np.flatnonzero(marked).tolist() == [4]
    assert np.array_equal(sheet[2:34, 0:32], render(long)[56])

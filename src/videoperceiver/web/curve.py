"""The relevance curve as a clickable figure in the page's own colours."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from videoperceiver.inference.present import clock

_WIDTH, _HEIGHT, _BASE, _TOP = 1000, 150, 118, 16
JUMP = """
element.addEventListener('click', (event) => {
  const key = event.target.closest('[data-t]');
  if (!key) return;
  const players = document.querySelectorAll('#player video, #player-full video, #player-degraded video');
  players.forEach((video) => { video.currentTime = Number(key.dataset.t); video.pause(); });
});
"""
"""Sets both players to the time of the key that was clicked; runs in the browser, nothing is sent."""


def curve(
    t_s: Sequence[float] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    keys_s: Sequence[float],
    stretches_s: Sequence[tuple[float, float]] = (),
    *,
    label: str = "",
) -> Markup:
    """An SVG curve with key frames that can be clicked, and the same as buttons for keyboards and narrow screens.

    Args:
        t_s: (T,) source seconds.
        scores: (T,) relevance.
        keys_s: times to jump to.
        stretches_s: (start, end) shaded.
        label: before the buttons, such as "Key frames".
    """
    times, heights = np.asarray(t_s, float), np.asarray(scores, float)
    extent = max(np.ptp(times), 1e-6)
    x = (times - times[0]) / extent * _WIDTH
    y = _BASE - (heights - heights.min()) / max(np.ptp(heights), 1e-9) * (_BASE - _TOP)
    path = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    place = [(float(np.clip((t - times[0]) / extent, 0, 1)), t) for t in keys_s]
    dots = Markup("").join(
        Markup('<button type="button" class="dot" style="left:{:.2f}%;top:{:.2f}%" data-t="{:.3f}" aria-label="jump to {}" title="{}"></button>').format(
            100 * share, 100 * float(np.interp(t, times, y)) / _HEIGHT, t, clock(t), clock(t)
        )
        for share, t in place
    )
    shaded = Markup("").join(
        Markup('<rect x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
            (start - times[0]) / extent * _WIDTH, max((end - start) / extent * _WIDTH, 2), _BASE
        )
        for start, end in stretches_s
    )
    marks = Markup("").join(
        Markup('<span style="left:{:.2f}%">{}</span>').format(100 * share, clock(times[0] + share * extent)) for share in (0.02, 0.25, 0.5, 0.75, 0.98)
    )
    buttons = Markup("").join(Markup('<button type="button" data-t="{:.3f}">{}</button>').format(t, clock(t)) for _, t in place[:24])
    return Markup(
        '<div class="curve"><div class="plot"><svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="relevance over time">{}'
        '<line x1="0" x2="{}" y1="{}" y2="{}"/>'
        '<path d="{}"/></svg>{}<div class="marks">{}</div></div><div class="keys">{} {}</div></div>'
    ).format(_WIDTH, _HEIGHT, shaded, _WIDTH, _BASE, _BASE, path, dots, marks, escape(label), buttons)

"""The relevance curve under the video: what can be clicked jumps there."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from videoperceiver.inference.present import clock

_WIDTH, _HEIGHT, _BASE, _TOP = 1000, 120, 112, 12
_MOST_KEYS = 24
_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
"""Between marks on the axis of time."""
_MARKS = 6
JUMP = """
const videos = () => document.querySelectorAll('#player video, #player-full video, #player-degraded video');
const jump = (time) => videos().forEach((video) => { video.currentTime = time; video.pause(); });
document.addEventListener('click', (event) => {
  const key = event.target.closest('[data-t]');
  if (key) return jump(Number(key.dataset.t));
  const plot = event.target.closest('.curve .plot');
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  const [first, last] = [Number(plot.dataset.first), Number(plot.dataset.last)];
  jump(first + (last - first) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
});
document.addEventListener('timeupdate', (event) => {
  const plot = document.querySelector('.curve .plot');
  if (!plot || !event.target.closest('#player')) return;
  const [first, last] = [Number(plot.dataset.first), Number(plot.dataset.last)];
  const share = (event.target.currentTime - first) / Math.max(last - first, 1e-6);
  plot.style.setProperty('--head', `${100 * Math.min(1, Math.max(0, share))}%`);
}, true);
"""
"""Sets the players to the time that was clicked, and moves a line along with the video; runs in the browser, nothing is sent."""


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
    dots = Markup("").join(
        Markup('<button type="button" class="dot" style="left:{:.2f}%;top:{:.2f}%" data-t="{:.3f}" aria-label="jump to {}" title="{}"></button>').format(
            _percent(t, times), 100 * float(np.interp(t, times, y)) / _HEIGHT, t, clock(t), clock(t)
        )
        for t in keys_s
    )
    shaded = Markup("").join(
        Markup('<rect x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
            (start - times[0]) / extent * _WIDTH, max((end - start) / extent * _WIDTH, 2), _BASE
        )
        for start, end in stretches_s
    )
    buttons = Markup("").join(Markup('<button type="button" data-t="{:.3f}">{}</button>').format(t, clock(t)) for t in sorted(keys_s)[:_MOST_KEYS])
    more = Markup("<span>and {} more</span>").format(len(keys_s) - _MOST_KEYS) if len(keys_s) > _MOST_KEYS else ""
    keys = Markup('<div class="keys"><span>{}</span> {}{}</div>').format(label, buttons, more) if keys_s else ""
    return Markup(
        '<figure class="curve"><figcaption>Relevance over time</figcaption><div class="plot" data-first="{:.3f}" data-last="{:.3f}">'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="relevance over time">{}<line x1="0" x2="{}" y1="{}" y2="{}"/>'
        '<path d="{}"/></svg>{}</div><div class="marks">{}</div>{}</figure>'
    ).format(times[0], times[-1], _WIDTH, _HEIGHT, shaded, _WIDTH, _BASE, _BASE, path, dots, _marks(times), keys)


def _percent(at_s: float, times: np.ndarray) -> float:
    return 100 * float(np.clip((at_s - times[0]) / max(np.ptp(times), 1e-6), 0, 1))


def _marks(times: np.ndarray) -> Markup:
    """Round times along the axis, none so near an end that it would be cut."""
    extent = float(np.ptp(times))
    step_s = next((step for step in _STEPS_S if extent / step <= _MARKS), _STEPS_S[-1])
    at = np.arange(np.ceil(times[0] / step_s) * step_s, times[-1] + 1e-6, step_s)
    return Markup("").join(
        Markup('<span style="left:{:.2f}%">{}</span>').format(_percent(t, times), clock(t) if step_s < 1 else clock(t).removesuffix(".0"))
        for t in at.tolist()
        if 2 <= _percent(t, times) <= 97
    )

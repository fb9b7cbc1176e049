"""Time as a network sees it: where on the course of the experiment, and how fast cells move there."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

N_FEATURES = 6
SLOWEST = 1e-3
"""A still interval counts as this share of the fastest one, so that nothing is divided by zero."""
BLEND = 0.25
"""Share of the shorter neighbouring interval, on either side of a time, over which the speed changes."""


@dataclass(frozen=True, eq=False)
class Clock:
    """Turns a time into features of order one and into the typical speed at that time.

    Uneven gaps need both: features of elapsed time alone cannot resolve an hour in a month, and velocities
    after an hour can be hundreds of times those after a month. Beyond the first and the last time the
    features go on linearly and the speed stays.

    Attributes
    ----------
    times : (n_times,) float64
        Measured times, rising, in the data's unit.
    speeds : (n_times - 1,) float64
        Typical speed in each interval, in scaled state units per unit of time.
    """

    times: np.ndarray
    speeds: np.ndarray

    def features(self, t: torch.Tensor) -> torch.Tensor:
        """Describe times, (...) float64, by (..., N_FEATURES) float32 numbers within about [-1, 1]."""
        elapsed = (t - self.times[0]) / (self.times[-1] - self.times[0])
        phase = _interpolate(t, self._times, self._phases)
        waves = [wave(np.pi * k * phase) for k in (1, 2) for wave in (torch.sin, torch.cos)]
        return torch.stack([2 * elapsed - 1, 2 * phase - 1, *waves], dim=-1).float()

    def speed(self, t: torch.Tensor) -> torch.Tensor:
        """Typical speed at times, (...) float64: that of the interval, changing smoothly near its ends."""
        inside = t.clamp(float(self.times[0]), float(self.times[-1]))
        return _interpolate(inside, self._knots, self._log_speeds).exp()

    @cached_property
    def _times(self) -> torch.Tensor:
        return torch.tensor(self.times, dtype=torch.float64)

    @cached_property
    def _phases(self) -> torch.Tensor:
        return torch.linspace(0, 1, len(self.times), dtype=torch.float64)

    @cached_property
    def _knots(self) -> torch.Tensor:
        gaps = np.diff(self.times)
        width = BLEND * np.minimum(gaps[1:], gaps[:-1])
        inner = np.stack([self.times[1:-1] - width, self.times[1:-1] + width], axis=1)
        return torch.as_tensor(np.concatenate([self.times[:1], inner.ravel(), self.times[-1:]]))

    @cached_property
    def _log_speeds(self) -> torch.Tensor:
        return torch.as_tensor(np.repeat(np.log(self.speeds), 2))


def typical_speeds(times: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Speed of each interval, (n_times - 1,), from the distance that cells moved in it, never zero."""
    gaps = np.diff(times)
    speeds = moved / gaps
    return np.maximum(speeds, SLOWEST * speeds.max()) if speeds.max() > 0 else 1 / gaps


def _interpolate(t: torch.Tensor, knots: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Straight lines through `(knots, values)`, the first and the last prolonged."""
    after = torch.searchsorted(knots, t.contiguous(), right=True).clamp(1, len(knots) - 1)
    left, right = knots[after - 1], knots[after]
    share = (t - left) / (right - left)
    return torch.lerp(values[after - 1], values[after], share)

"""Velocity fields with known solutions, and bad ones."""

import numpy as np
import torch


class Linear:
    """dx/dt = A x + b."""

    def __init__(self, matrix: np.ndarray, shift: np.ndarray | None = None) -> None:
        self.matrix = np.asarray(matrix, dtype=np.float64)
        self.dim = len(self.matrix)
        self.shift = np.zeros(self.dim) if shift is None else np.asarray(shift, dtype=np.float64)
        self.evaluations = 0

    def __call__(self, t, x):
        self.evaluations += 1
        matrix = torch.from_numpy(self.matrix).to(x.dtype)
        return x @ matrix.T + torch.from_numpy(self.shift).to(x.dtype)


class Function:
    """Any `v(t, x)` in torch."""

    def __init__(self, dim, function) -> None:
        self.dim = dim
        self._function = function
        self.evaluations = 0

    def __call__(self, t, x):
        self.evaluations += 1
        return self._function(t, x)

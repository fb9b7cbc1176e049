"""A velocity field without training: the movement of the paired cells that pass nearby at that moment."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from models.header import damaged
from models.tables import register_tables

if TYPE_CHECKING:
    from models.networks import Architecture

NEIGHBOURS = 12
"""Pairs whose movement is averaged."""
SHARP = 0.02
"""Closer to a pair than this share of the reach of the average, the pair alone decides."""
NEXT = 1e-4
"""So near before a measured time, in intervals, a state belongs to the interval that begins there."""
COMPARED = 4_000_000
"""Up to so many distances all states are compared with all pairs; above, with those of the nearest groups."""
GROUP, ADJACENT = 48, 12
"""Pairs of a group, about, and groups that are searched: a state's own and those next to it."""
MOMENTS = 4
"""Groups are made anew after each such part of an interval, since pairs that start together may part."""
MOST_AT_ONCE = 4_000_000
"""Distances that are held at once."""


class PairsNet(nn.Module):
    """Local regression on pairs that move along straight lines.

    At the position s in an interval a pair (z0, z1) with weight w is at p = (1 − s) z0 + s z1. The velocity
    at z is the mean of z1 − z0 over the 12 nearest pairs, weighted by w (R − d)² / (d² + (0.02 R)²), where d
    is the distance to p and R that to the next pair further out (Franke and Little's form of Shepard's
    weights). So it is that of the pair itself where z lies on a pair's path, smooth beside it, and followed
    cells stay on their paths. For many states and pairs the search is approximate: most of the 12 are found,
    and nearly always the nearest.

    Tables: "cells" (n, dim); "pairs" (m, 2), rows of the two cells of each pair; "weight" (m,); "first"
    (n_intervals + 1,), number of the first pair of each interval; "rate" (n_intervals,), 1 / (Δ c).

    References
    ----------
    Shepard, A two-dimensional interpolation function for irregularly-spaced data, ACM 1968; Franke and
    Nielson, Smooth interpolation of large sets of scattered data, 1980.
    """

    def __init__(self, architecture: "Architecture") -> None:
        super().__init__()
        self.architecture = architecture
        register_tables(self)

    @staticmethod
    def layers(architecture: "Architecture") -> dict[str, tuple[int, int]]:
        """No layer is there."""
        return {}

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Evaluate the velocity at scaled states, (..., dim), and time features, (..., N_FEATURES)."""
        n_intervals = len(self.rate)
        place = ((features[..., 1] + 1) / 2 * n_intervals).clamp(0, n_intervals)
        place = place.expand(z.shape[:-1])
        k = (place + NEXT).floor().clamp(max=n_intervals - 1)
        s = (place - k).clamp(0, 1)
        near = _Nearest.apply(z, k, s, self.plans)
        z0, z1 = (self.cells[side[near]] for side in self.plans.sides)
        gap = z.unsqueeze(-2) - torch.lerp(z0, z1, s[..., None, None])
        distance = (gap.square().sum(dim=-1) + 1e-12).sqrt()
        reach = 1.001 * distance.amax(dim=-1, keepdim=True) + 1e-6
        sharp = distance.square() + (SHARP * reach).square()
        weight = self.weight[near] * (reach - distance).square() / sharp
        weight = weight / weight.sum(dim=-1, keepdim=True)
        moved = (weight[..., None] * (z1 - z0)).sum(dim=-2)
        return {"velocity": moved * self.rate[k.long()][..., None]}

    @cached_property
    def plans(self) -> "Plans":
        """The tables, checked and made ready for the search.

        Raises
        ------
        ModelError
            The tables of a file contradict each other.
        """
        with np.errstate(invalid="ignore"):  # a file's numbers may be too large; they are then refused
            first, pairs = self.first.numpy().astype(np.int64), self.pairs.numpy().astype(np.int64)
        sound = (
            (first[0] == 0 and first[-1] == len(pairs) and (np.diff(first) > 0).all())
            and (pairs >= 0).all()
            and (pairs < len(self.cells)).all()
            and bool((self.weight > 0).all())
        )
        if not sound:
            raise damaged("its pairs are not pairs of its cells")
        return Plans(self.cells, torch.from_numpy(pairs), first.tolist())


@dataclass(frozen=True, eq=False)
class Plans:
    """Pairs of all intervals, with a search for those that are nearest to a state at a moment."""

    cells: torch.Tensor
    pairs: torch.Tensor
    first: list[int]

    @property
    def sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pairs[:, 0], self.pairs[:, 1]

    @cached_property
    def intervals(self) -> "list[_Interval]":
        return [
            _Interval(tuple(self.cells[side[a:b]] for side in self.sides))
            for a, b in zip(self.first[:-1], self.first[1:], strict=True)
        ]

    def nearest(self, z: torch.Tensor, k: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Numbers of the nearest pairs of each state, (n, NEIGHBOURS + 1); fewer pairs are repeated.

        Parameters
        ----------
        z : (n, dim)
        k, s : (n,)
            Interval and position in it.
        """
        near = torch.zeros((len(z), NEIGHBOURS + 1), dtype=torch.int64)
        for at in torch.unique(k).long().tolist():
            rows = torch.nonzero(k == at)[:, 0]
            found = self.intervals[at].nearest(z[rows], s[rows, None])
            near[rows] = found + self.first[at]
        return near


@dataclass(frozen=True, eq=False)
class _Interval:
    """Pairs of one interval, found through groups of pairs that are near each other at a moment."""

    ends: tuple[torch.Tensor, torch.Tensor]

    @cached_property
    def groups(self) -> "list[_Groups]":
        """Groups at the start, at the end and at moments in between."""
        return [_Groups.of(torch.lerp(*self.ends, q / MOMENTS)) for q in range(MOMENTS + 1)]

    def nearest(self, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Numbers of the nearest pairs of states, (n, NEIGHBOURS + 1)."""
        if len(z) * len(self.ends[0]) <= COMPARED or len(self.ends[0]) < ADJACENT * GROUP:
            return self._among(z, s, torch.arange(len(self.ends[0])))
        near = torch.empty((len(z), NEIGHBOURS + 1), dtype=torch.int64)
        moment = (s[:, 0] * MOMENTS).round().long()
        for q in torch.unique(moment).tolist():
            rows = torch.nonzero(moment == q)[:, 0]
            groups = self.groups[q]
            own = _squared(z[rows], s[rows], self._at(groups.landmarks)).argmin(dim=1)
            order = torch.argsort(own, stable=True)
            found, counts = torch.unique_consecutive(own[order], return_counts=True)
            for group, part in zip(found.tolist(), rows[order].split(counts.tolist()), strict=True):
                near[part] = self._among(z[part], s[part], groups.around[group])
        return near

    def _at(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.ends[0][pairs], self.ends[1][pairs]

    def _among(self, z: torch.Tensor, s: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """The nearest of some pairs, by comparing all of them."""
        ends, n = self._at(pairs), max(MOST_AT_ONCE // len(pairs), 1)
        parts = zip(z.split(n), s.split(n), strict=True)
        return torch.cat([pairs[_first(_squared(*part, ends))] for part in parts])


@dataclass(frozen=True, eq=False)
class _Groups:
    """Pairs around landmarks at one moment."""

    landmarks: torch.Tensor
    around: list[torch.Tensor]
    """Pairs of each group and of the groups next to it."""

    @classmethod
    def of(cls, places: torch.Tensor) -> "_Groups":
        m = len(places)
        chosen = np.random.default_rng(m).choice(m, m // GROUP, replace=False)
        landmarks = torch.from_numpy(np.sort(chosen))
        group = torch.cat([torch.cdist(part, places[landmarks]).argmin(dim=1) for part in places.split(4096)])
        members = [torch.nonzero(group == c)[:, 0] for c in range(len(landmarks))]
        apart = torch.cdist(places[landmarks], places[landmarks]).fill_diagonal_(-1)
        beside = apart.topk(min(ADJACENT, len(landmarks)), largest=False).indices.tolist()
        return cls(landmarks, [torch.cat([members[c] for c in row]) for row in beside])


def _squared(z: torch.Tensor, s: torch.Tensor, ends: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Squared distances of states, (n, dim), to pairs at positions `s`, (n, 1); less |z|², (n, m)."""
    z0, z1 = ends
    a, b, c = (z0 * z0).sum(dim=1), (z0 * z1).sum(dim=1), (z1 * z1).sum(dim=1)
    if len(s) == 1 or bool((s == s[0]).all()):
        at = torch.lerp(z0, z1, float(s[0, 0]))
        return torch.addmm((at * at).sum(dim=1), z, at.T, alpha=-2)
    cross = torch.lerp(z @ z0.T, z @ z1.T, s)
    return (1 - s) ** 2 * a + 2 * s * (1 - s) * b + s**2 * c - 2 * cross


def _first(squared: torch.Tensor) -> torch.Tensor:
    """Columns of the smallest numbers of each row, (n, NEIGHBOURS + 1); of fewer the last is repeated."""
    found = squared.topk(min(NEIGHBOURS + 1, squared.shape[1]), largest=False).indices
    missing = NEIGHBOURS + 1 - found.shape[1]
    return torch.cat([found, found[:, -1:].expand(-1, missing)], dim=1)


class _Nearest(torch.autograd.Function):
    """The search, as derivatives see it: which pairs are near does not change in a small step."""

    @staticmethod
    def forward(z: torch.Tensor, k: torch.Tensor, s: torch.Tensor, plans: Plans) -> torch.Tensor:
        flat = plans.nearest(z.reshape(-1, z.shape[-1]), k.reshape(-1), s.reshape(-1))
        return flat.reshape(*z.shape[:-1], -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, None, None, None]:
        return None, None, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        z: torch.Tensor,
        k: torch.Tensor,
        s: torch.Tensor,
        plans: Plans,
    ) -> tuple[torch.Tensor, int]:
        moved = [
            one.expand(info.batch_size, *one.shape) if at is None else one.movedim(at, 0)
            for one, at in zip((z, k, s), in_dims[:3], strict=True)
        ]
        return _Nearest.apply(*moved, plans), 0

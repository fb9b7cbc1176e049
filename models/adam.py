"""AdamW on torch's fused kernel, with its whole state in plain tensors.

`torch.optim` loads torch's compiler at its first use, which takes seconds; nothing of that is needed here.
"""

import math
from collections.abc import Iterable, Sequence

import torch

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """Adam with decoupled weight decay.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], *, weight_decay: float = 0.0) -> None:
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.mean = [torch.zeros_like(one) for one in self.parameters]
        self.square = [torch.zeros_like(one) for one in self.parameters]
        self.count = [torch.zeros(()) for _ in self.parameters]

    def state(self) -> dict[str, torch.Tensor]:
        """All of the state by name; the tensors themselves, to be read or written in place."""
        parts = {"mean": self.mean, "square": self.square, "count": self.count}
        return {f"{part}.{k}": value for part, values in parts.items() for k, value in enumerate(values)}

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor], *, rate: float, clip: float) -> bool:
        """Move the parameters one step; gradients longer than `clip` in all are shortened to it.

        Returns
        -------
        False, and nothing is moved, where the gradients are not finite.
        """
        length = float(torch.stack(torch._foreach_norm(gradients)).norm())
        if not math.isfinite(length):
            return False
        if length > clip:
            torch._foreach_mul_(gradients, clip / length)
        self.move(self.parameters, gradients, rate=rate)
        return True

    def move(
        self, parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], *, rate: float
    ) -> None:
        """Move parameters one step, in place, along gradients that are short enough."""
        torch._foreach_add_(self.count, 1)
        torch._fused_adamw_(
            parameters,
            gradients,
            self.mean,
            self.square,
            [],
            self.count,
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


class StackedAdamW(AdamW):
    """AdamW on parameters of k networks, (k, ...), each of which has a gradient of its own.

    All parameters are moved into one tensor, (k, n), and become views of it: a step is then a few operations,
    which counts where networks are small.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], *, weight_decay: float = 0.0) -> None:
        parameters = list(parameters)
        self.whole = torch.cat([one.detach().flatten(1) for one in parameters], dim=1)
        super().__init__([self.whole], weight_decay=weight_decay)
        widths = [one[0].numel() for one in parameters]
        for one, part in zip(parameters, self.whole.split(widths, dim=1), strict=True):
            one.data = part.view(one.shape)
        self.parameters = parameters

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor], *, rate: float, clip: float) -> bool:
        """Move the parameters one step; a network's gradient longer than `clip` is shortened to it."""
        whole = torch.cat([one.flatten(1) for one in gradients], dim=1)
        lengths = whole.norm(dim=1, keepdim=True)
        if not bool(torch.isfinite(lengths).all()):
            return False
        if bool((lengths > clip).any()):
            whole.mul_((clip / lengths).clamp(max=1.0))
        self.move([self.whole], [whole], rate=rate)
        return True

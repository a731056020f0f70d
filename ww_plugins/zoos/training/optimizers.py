"""The three optimizers with the defaults of TensorFlow's Keras, each network with a learning rate of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

EPSILON = 1e-7
ADAM_BETAS = (0.9, 0.999)
RMSPROP_RHO = 0.9


class Optimizer(ABC):
    """Changes the weights of many networks by their gradients.

    Args:
        weights: Of all networks, (count, parameters); changed in place.
        rates: Learning rates, (count, 1).
    """

    def __init__(self, weights: torch.Tensor, rates: torch.Tensor) -> None:
        self._weights, self._rates = weights, rates

    @abstractmethod
    def step(self, gradients: torch.Tensor) -> None:
        """Take one step; gradients have the shape of the weights."""


class Sgd(Optimizer):
    """Gradient descent without momentum."""

    def step(self, gradients: torch.Tensor) -> None:
        """Go down the gradient."""
        self._weights.addcmul_(gradients, self._rates, value=-1)


class Adam(Optimizer):
    """Adam, with epsilon beside the root of the second moment before its bias is corrected, as in Keras.

    PyTorch adds its epsilon after the correction; the two are equal for eps / sqrt(1 - beta_2 ** t).
    """

    def __init__(self, weights: torch.Tensor, rates: torch.Tensor) -> None:
        super().__init__(weights, rates)
        self._first, self._second = weights.new_zeros(weights.shape), weights.new_zeros(weights.shape)
        self._scratch = weights.new_zeros(weights.shape)
        self._steps = 0

    def step(self, gradients: torch.Tensor) -> None:
        """Go along the first moment, in units of the root of the second one."""
        import torch

        self._steps += 1
        beta_1, beta_2 = ADAM_BETAS
        self._first.lerp_(gradients, 1 - beta_1)
        self._second.mul_(beta_2).addcmul_(gradients, gradients, value=1 - beta_2)
        torch.sqrt(self._second, out=self._scratch).add_(EPSILON)
        torch.div(self._first, self._scratch, out=self._scratch)
        rates = self._rates * ((1 - beta_2**self._steps) ** 0.5 / (1 - beta_1**self._steps))
        self._weights.addcmul_(self._scratch, rates, value=-1)


class RmsProp(Optimizer):
    """RMSprop, with epsilon beside the root of the second moment, as Keras had it before 2.11.

    Since then Keras has it under the root.
    """

    def __init__(self, weights: torch.Tensor, rates: torch.Tensor) -> None:
        super().__init__(weights, rates)
        self._second, self._scratch = weights.new_zeros(weights.shape), weights.new_zeros(weights.shape)

    def step(self, gradients: torch.Tensor) -> None:
        """Go down the gradient, in units of the root of its second moment."""
        import torch

        self._second.mul_(RMSPROP_RHO).addcmul_(gradients, gradients, value=1 - RMSPROP_RHO)
        torch.sqrt(self._second, out=self._scratch).add_(EPSILON)
        torch.div(gradients, self._scratch, out=self._scratch)
        self._weights.addcmul_(self._scratch, self._rates, value=-1)


BY_NAME: dict[str, type[Optimizer]] = {"sgd": Sgd, "adam": Adam, "rmsprop": RmsProp}

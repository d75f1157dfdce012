"""Muon and Adam, the learning rate's course and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from segnt_tools.training.recipe import OptimiserRecipe

# Quintic iteration that drives all singular values towards 1 (Jordan et al. 2024, Muon).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_TINY = 1e-7


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values of about 1, by five quintic Newton-Schulz steps.

    The iteration multiplies the matrix from one side by polynomials in its Gram matrix; here only the small Gram matrix
    is iterated and the product applied once.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + _TINY)
    gram = x @ x.T
    product: Tensor | None = None
    for step in range(_ITERATIONS):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if step < _ITERATIONS - 1:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    x = product @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Momentum whose update of a matrix is orthogonalised (Jordan et al. 2024), with decoupled weight decay.

    torch.optim.Muon computes in bfloat16 over the whole matrix: on a CPU without matrix units it took almost as long as
    the rest of a step. benchmarks/training_speed.py measures both.

    Args:
        params: matrices.
        lr: learning rate; an update's singular values are lr times sqrt(max(1, rows / columns)).
        momentum: decay of the Nesterov momentum.
        weight_decay: decoupled weight decay.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all matrices."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalised(parameter.grad.lerp(momentum, group["momentum"]))
                rows, columns = parameter.shape
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * math.sqrt(max(1.0, rows / columns)))


def optimisers(model: nn.Module, recipe: OptimiserRecipe, head: Callable[[str], bool]) -> list[torch.optim.Optimizer]:
    """Optimisers of a recipe over the weights that take part; each group remembers its highest rate as `peak`.

    Args:
        model: the network.
        recipe: what to use.
        head: whether a parameter, by name, belongs to the first or last layer, which Muon leaves to AdamW.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    betas = (recipe.betas[0], recipe.betas[1])
    result: list[torch.optim.Optimizer] = []
    if recipe.name == "adam":
        result.append(torch.optim.Adam([p for _, p in named], lr=recipe.rate, betas=betas))
    elif recipe.name == "adamw":
        result.append(_adamw([p for _, p in named], recipe.rate, recipe))
    else:
        matrices = [p for name, p in named if p.ndim == 2 and not head(name)]
        rest = [p for name, p in named if p.ndim != 2 or head(name)]
        if matrices:
            result.append(Muon(matrices, lr=recipe.rate, weight_decay=recipe.weight_decay))
        if rest:
            result.append(_adamw(rest, recipe.other_rate, recipe))
    for optimiser in result:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return result


def _adamw(parameters: list[nn.Parameter], rate: float, recipe: OptimiserRecipe) -> torch.optim.Optimizer:
    """AdamW that decays matrices but neither biases nor norms."""
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=recipe.betas)


def rate_factor(progress: float, recipe: OptimiserRecipe) -> float:
    """Share of the highest learning rate after this share of the run: linear warm-up, flat, cosine."""
    if progress < recipe.warm_up:
        return max(progress / recipe.warm_up, 1e-3)
    if progress < recipe.flat or recipe.flat >= 1:
        return 1.0
    done = min(1.0, (progress - recipe.flat) / (1 - recipe.flat))
    return recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * done))


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of their own."""
    return {name: value.detach().clone() for name, value in weights.items()}


class WeightAverage:
    """Exponential running average of the weights, with a shorter memory in the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = copied(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the weights."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

"""How weights are changed: AdamW, or Muon for the matrices among them and AdamW for the rest."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from mvit.networks.compared import Network

OPTIMIZERS = ("adamw", "muon")


def build_optimizers(network: Network, kind: str, learning_rate: float, weight_decay: float,
                     decay_all: bool = True) -> list[torch.optim.Optimizer]:
    """The optimizers that together change every weight of the network once a step.

    Each group of weights has a field ``body``: whether they are another layer's than the last.

    Args:
        kind: "adamw" (Loshchilov & Hutter, arXiv 1711.05101), or "muon": its orthogonalised momentum (Jordan et al.,
            kellerjordan.github.io/posts/muon) for every matrix between the first and the last layer, scaled to change
            weights by as much as AdamW would (Liu et al., arXiv 2502.16982, section 2.2), and AdamW for the rest.
        learning_rate, weight_decay: of all of them.
        decay_all: also of biases and of the scales and shifts of norms.
    """
    matrices = hidden_matrices(network) if kind == "muon" else []
    taken = {id(weight) for weight in matrices}
    last = set(outer_layers(network)[1].parameters())
    groups: list[dict[str, Any]] = [
        {"params": [w for w in network.parameters() if id(w) not in taken and (w in last) == is_last
                    and (w.ndim > 1 or decay_all) == decayed], "body": not is_last,
         **({} if decayed else {"weight_decay": 0.0})}
        for is_last in (False, True) for decayed in (True, False)]
    # One fused kernel a step instead of several for each of the tensors.
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(
        [g for g in groups if g["params"]], learning_rate, weight_decay=weight_decay, fused=True)]
    if matrices:
        optimizers.append(Muon(matrices, learning_rate, weight_decay))
    return optimizers


def hidden_matrices(network: Network) -> list[Tensor]:
    """Weights that mix channels, but for the first and the last layer's.

    A depthwise filter mixes none; and what is near pixels or classes is better left to AdamW (Jordan et al.).
    """
    outer = outer_layers(network)
    return [module.weight for module in network.modules() if module not in outer and (
        isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))]


def outer_layers(network: Network) -> tuple[nn.Module, nn.Module]:
    """The first layer, a convolution of the pixels, and the last, which makes the logits."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return layers[0], layers[-1]


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every direction in which a layer can change is changed by about as much.

    Jordan et al., kellerjordan.github.io/posts/muon, as ``torch.optim.Muon`` has it with ``match_rms_adamw``. That one
    takes matrices alone, and one by one; here a convolution's weights (out, in, h, w) are the matrix (out, in h w), and
    all matrices of a shape go through each product together: on a card it is the number of kernels that costs.

    Args:
        weights: (out, in) or (out, in, h, w) each.
        lr: the learning rate; a tensor in a step that is recorded (:mod:`mvit.training.step`).
        weight_decay: decoupled, as AdamW's.
    """

    MOMENTUM = 0.95

    def __init__(self, weights: list[Tensor], lr: float, weight_decay: float) -> None:
        alike = defaultdict(list)
        for weight in weights:
            alike[weight.flatten(1).shape].append(weight)
        super().__init__([{"params": group, "body": True} for group in alike.values()],
                         {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # the closure that others take is never given
        for group in self.param_groups:
            weights, lr = group["params"], group["lr"]
            gradients = torch.stack([weight.grad.flatten(1) for weight in weights])
            state = self.state[weights[0]]
            if not state:
                state["momentum"] = torch.zeros_like(gradients)
            momentum = state["momentum"].lerp_(gradients, 1 - self.MOMENTUM)
            updates = orthogonalise(gradients.lerp(momentum, self.MOMENTUM))  # Nesterov's
            # As large as AdamW's, by root mean square (Liu et al., section 2.2).
            updates *= 0.2 * max(updates.shape[1:]) ** 0.5 * lr
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            torch._foreach_sub_(weights, [update.view_as(w) for update, w in zip(updates, weights, strict=True)])


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrices with singular values of 1: of 0.7 to 1.2, by Newton and Schulz's iteration.

    Args:
        matrices: (n, rows, columns).

    Returns:
        (n, rows, columns), float32; computed in bfloat16.
    """
    a, b, c = 3.4445, -4.7750, 2.0315  # steepest at zero, so that small singular values grow fast
    x = matrices.bfloat16()
    wide = x.shape[1] <= x.shape[2]
    if not wide:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x if wide else x.mT).float().contiguous()

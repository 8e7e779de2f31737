"""How weights are changed: AdamW, or Muon for the matrices among them and AdamW for the rest."""

import torch
from torch import Tensor, nn

from mvit.model import MobileViT

OPTIMIZERS = ("adamw", "muon")


def build_optimizers(network: MobileViT, kind: str, learning_rate: float, weight_decay: float,
                     decay_all: bool = True) -> list[torch.optim.Optimizer]:
    """The optimizers that together change every weight of the network once a step, at one learning rate.

    Args:
        network: in channels_last memory order.
        kind: "adamw" (Loshchilov & Hutter, arXiv 1711.05101), or "muon": its orthogonalised momentum (Jordan et al.,
            kellerjordan.github.io/posts/muon) for every matrix between the first and the last layer, scaled to change
            weights by as much as AdamW would (Liu et al., arXiv 2502.16982, section 2.2), and AdamW for the rest.
        learning_rate, weight_decay: of all of them.
        decay_all: also of biases and of the scales and shifts of norms.
    """
    weights = list(network.parameters())
    matrices = hidden_matrices(network) if kind == "muon" else []
    taken = {id(weight) for weight in matrices}
    rest = [weight for weight in weights if id(weight) not in taken]
    groups = [{"params": [w for w in rest if w.ndim > 1 or decay_all]},
              {"params": [w for w in rest if w.ndim == 1 and not decay_all], "weight_decay": 0.0}]
    # One fused kernel a step instead of several for each of the tensors.
    optimizers = [torch.optim.AdamW([g for g in groups if g["params"]], learning_rate, weight_decay=weight_decay,
                                    fused=True)]
    if matrices:
        optimizers.append(MuonOfConvolutions(matrices, learning_rate, weight_decay))
    return optimizers


def hidden_matrices(network: MobileViT) -> list[nn.Parameter]:
    """Weights that mix channels, but for the first and the last layer's.

    A depthwise filter mixes none; and what is near pixels or classes is better left to AdamW (Jordan et al.).
    """
    outer = (network.stem[0], network.head[-1])
    return [module.weight for module in network.modules() if module not in outer and (
        isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))]


class MuonOfConvolutions(torch.optim.Muon):
    """torch's Muon, which takes matrices only, for convolutions too: (out, in, h, w) as (out, h w in)."""

    def __init__(self, weights: list[nn.Parameter], learning_rate: float, weight_decay: float):
        self.weights = weights
        # Views of the same memory, which is why the weights must be channels_last.
        self.matrices = [nn.Parameter(_as_matrix(weight.detach())) for weight in weights]
        super().__init__(self.matrices, learning_rate, weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self) -> None:
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            matrix.grad = _as_matrix(weight.grad.contiguous(memory_format=torch.channels_last)
                                     if weight.ndim == 4 else weight.grad)
        super().step()


def _as_matrix(weight: Tensor) -> Tensor:
    """A view, never a copy."""
    return weight.permute(0, 2, 3, 1).view(len(weight), -1) if weight.ndim == 4 else weight

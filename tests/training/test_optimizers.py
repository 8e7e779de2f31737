"""The optimizers: who changes which weight, and Muon against its definition."""


import pytest
import torch
from torch import nn

from mvit import mobilevit_xxs
from mvit.training.optimizers import Muon, build_optimizers


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_weight_is_changed_by_exactly_one_optimizer(kind):
    network = mobilevit_xxs().to(memory_format=torch.channels_last)
    optimizers = build_optimizers(network, kind, 1e-2, 0.1, decay_all=False)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    network(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[name])}
    # Where the gradient is zero, only the decay of weights moves anything; these have none.
    assert all(network.get_parameter(name).ndim == 1 for name in still)
    sizes = [sum(weight.numel() for group in o.param_groups for weight in group["params"]) for o in optimizers]
    assert sum(sizes) == sum(weight.numel() for weight in network.parameters())
    assert len(optimizers) == (2 if kind == "muon" else 1)
    undecayed = [w for o in optimizers for g in o.param_groups if not g["weight_decay"] for w in g["params"]]
    assert sum(map(torch.numel, undecayed)) == sum(w.numel() for w in network.parameters() if w.ndim == 1)


def test_muon_orthogonalises_what_a_convolution_does_to_channels():
    """After one step from a plain gradient, the change of a convolution has singular values of about one size."""
    network = mobilevit_xxs().to(memory_format=torch.channels_last)
    weight = network.stages[1][1].fuse[0].weight
    before = weight.detach().clone()
    optimizers = build_optimizers(network, "muon", 1e-2, 0.0)
    network(torch.randn(8, 3, 32, 32)).square().sum().backward()
    gradient = torch.linalg.svdvals(weight.grad.flatten(1))
    for optimizer in optimizers:
        optimizer.step()
    change = torch.linalg.svdvals((weight.detach() - before).flatten(1))
    assert gradient[0] / gradient[-1] > 5
    assert change[0] / change[-1] < 3
    assert change.mean() == pytest.approx(1e-2 * 0.2 * 1152**0.5, rel=0.3)  # the larger side is 9 x 128


def test_muon_is_torch_s_for_many_matrices_at_once():
    shapes = [(6, 10), (10, 6), (6, 10), (8, 2, 3, 3)]
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    matrices = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in weights]
    begin = [weight.detach().clone() for weight in matrices]
    ours = Muon(weights, 0.1, 0.2)
    theirs = torch.optim.Muon(matrices, 0.1, 0.2, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, matrix in zip(weights, matrices, strict=True):
            matrix.grad = torch.randn_like(matrix)
            weight.grad = matrix.grad.view_as(weight)
        ours.step()
        theirs.step()
    for weight, matrix, was in zip(weights, matrices, begin, strict=True):
        moved, expected = weight.detach().flatten(1) - was, matrix.detach() - was
        assert (moved - expected).norm() < 0.02 * expected.norm()  # both reckon in bfloat16

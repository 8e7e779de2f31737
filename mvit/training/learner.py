"""What a run changes from step to step: the network, the average of its weights, the optimizers."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mvit.inference.variants import to_channels_last
from mvit.model import MobileViT
from mvit.networks.compared import Network
from mvit.training.optimizers import build_optimizers
from mvit.training.processes import Processes
from mvit.training.settings import Settings
from mvit.training.step import Step


class Learner:
    """A network with what its training needs.

    Args:
        network: to be trained; it is moved to the device.
        settings: how.
        device: where.
        processes: that share each batch.
        teacher: whose answers are a part of the target, on that device; None for none.

    Attributes:
        network: the network.
        averaged: the moving average of its weights; None for none.
        optimizers: of its weights.
        step: takes it one batch further.
    """

    def __init__(self, network: Network, settings: Settings, device: torch.device, processes: Processes,
                 teacher: MobileViT | None = None):
        self.network = to_channels_last(network).to(device)
        self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema),
                                      use_buffers=True) if settings.ema else None
        self.optimizers = build_optimizers(self.network, settings.optimizer, settings.learning_rate,
                                           settings.weight_decay, settings.decay_all)
        self.step = Step(processes.share(self.network), self.network, self.optimizers, teacher, settings.distillation,
                         settings.label_smoothing, settings.cutout, settings.bfloat16, processes.world_size,
                         settings.body_rate)

    @property
    def shipped(self) -> Network:
        """The network that is watched and shipped: with the average of the weights, if there is one."""
        if self.averaged is None:
            return self.network
        assert isinstance(self.averaged.module, Network)  # a copy of the network
        return self.averaged.module

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        optimizers = {f"optimizer {i}": optimizer for i, optimizer in enumerate(self.optimizers)}
        return {"network": self.network, **optimizers, **({"averaged": self.averaged} if self.averaged else {})}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The state of each part, by its name; tensors are the learner's own, not copies."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

"""The network that the settings describe, and whether it can take the images."""

import copy
from typing import Any

import torch

from mvit.data.augmentation import PADDING
from mvit.data.images import Split, mean_and_std
from mvit.model import MobileViT, MobileViTConfig
from mvit.networks.compared import Compared, ComparedConfig, Network
from mvit.networks.registry import try_building
from mvit.networks.stems import UnknownNetworkError
from mvit.training.epoch import batches
from mvit.training.settings import OURS, Settings, TrainingError


def build_network(settings: Settings, train: Split) -> Network:
    """The untrained network for these settings and images.

    Raises:
        TrainingError: the settings name a field that MobileViTConfig does not have, or a value it does not take, or
            one that these images do not.
    """
    mean, std = mean_and_std(train)
    if min(std) == 0:
        raise TrainingError(f"The images of the {train.name} are all of one colour: there is nothing to tell apart.")
    config = network_config(settings, class_names=train.class_names, mean=mean, std=std)
    if config.class_names != train.class_names:
        raise TrainingError(f"The class_names in --model are not the images' ({', '.join(train.class_names)}): leave "
                            "them out, they are the names of the folders.")
    torch.manual_seed(settings.seed)
    return network_of(config)


def network_of(config: MobileViTConfig | ComparedConfig) -> Network:
    return MobileViT(config) if isinstance(config, MobileViTConfig) else Compared(config)


def network_config(settings: Settings, **of_images: Any) -> MobileViTConfig | ComparedConfig:
    """What the network of these settings is built from; ``of_images`` are the fields that follow from the images.

    Raises:
        TrainingError: the settings name a field that there is not, or a value that no network can be built from.
    """
    try:
        config = (MobileViTConfig(**{**of_images, **(settings.model or {})}) if settings.network == OURS else
                  ComparedConfig(settings.network, settings.stem, **of_images))
        try_building(lambda: network_of(config))
    except (UnknownNetworkError, ImportError) as error:
        raise TrainingError(str(error)) from error
    except (TypeError, ValueError) as error:
        raise TrainingError(f"These settings describe no MobileViT: {error}.") from error
    size = config.image_size
    if size <= PADDING:
        raise TrainingError(f"image_size must be above {PADDING}, not {size}: images are shifted by up to {PADDING} "
                            "pixels, and nothing would be left of them.")
    if settings.cutout > size:
        raise TrainingError(f"cutout must be no more than the images' side of {size} pixels, not {settings.cutout}.")
    return config


def try_out(network: Network, train: Split, settings: Settings) -> None:
    """One pass through a copy of the network with the images of the smallest step: what it cannot take is said now.

    Raises:
        TrainingError: it cannot take them, or has answers that are no numbers.
    """
    smallest = min(map(len, batches(len(train), settings.batch_size, settings.processes, torch.Generator())))
    images = train.images[: min(2, smallest // settings.processes)]  # where one will do, many will
    if not len(images):
        what = "images" if settings.batch_size >= settings.processes else "images in a batch (--batch-size)"
        raise TrainingError(f"{min(len(train), settings.batch_size)} {what} are too few for {settings.processes} "
                            "processes.")
    try:
        with torch.no_grad():
            finite = copy.deepcopy(network).train()(network.normalize(images)).isfinite().all()
    except (RuntimeError, ValueError, AssertionError) as error:  # the last: torchvision's and timm's transformers
        raise TrainingError(f"This network cannot take a step of {len(images)} image(s) ({str(error) or repr(error)}): "
                            "try another --batch-size or --model.") from error
    if not finite:
        raise TrainingError("This network's answers are no numbers before it is trained: try another --model or "
                            "other --weights.")

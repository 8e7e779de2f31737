"""A checkpoint's card: its README.md, with the Hub's front matter."""

import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCardData

from mvit.benchmark.costs import count_flops, count_parameters, machine
from mvit.documents.ablation import ablation
from mvit.documents.familiarity import familiarity
from mvit.documents.rendering import render
from mvit.networks.compared import Compared, Network
from mvit.storage.files import CHECKPOINTS, ROOT
from mvit.storage.records import Records, read_canonical_estimate

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors")  # whose versions may matter to who repeats a run


def model_card(network: Network, records: Records, train_name: str, device: torch.device, folder: Path,
               made: Path) -> str:
    """The text of the card of a run that has just ended.

    Args:
        network: the trained network.
        records: of the run.
        train_name: in words, what images it was trained on.
        device: what it was trained on.
        folder: where the checkpoint goes.
        made: where it lies until then.
    """
    assert records.run is not None  # it has just ended
    settings = records.run["settings"]
    split, evaluation = list(records.evaluations.items())[-1]
    other = isinstance(network, Compared)
    known_images = "CIFAR-10" in evaluation["split"]
    # The shipped recipe whose choices were made by comparing runs carries the comparison.
    compared = known_images and settings["recipe"] == "strong" and folder.resolve().parent == CHECKPOINTS.resolve()
    front = ModelCardData(
        license="mit", library_name="pytorch", pipeline_tag="image-classification",
        tags=["mvit"] if other else ["mobilevit", "mvit"],
        model_name=f"{network.config.name}, recipe {settings['recipe']}",
        eval_results=[EvalResult(
            task_type="image-classification", dataset_type="cifar10" if known_images else "imagefolder",
            dataset_name=evaluation["split"], metric_type="accuracy", metric_value=round(evaluation["accuracy"], 4),
            metric_name=f"{split} accuracy",
        )],
    )
    return render(
        "compared.md" if other else "card.md", name=network.config.name, front_matter=front.to_yaml(), records=records,
        settings=settings, config=network.config,
        train_name=train_name, jpeg=known_images and "JPEG" in evaluation["split"],
        parameters=count_parameters(network), flops=count_flops(network, network.config.image_size),
        date=date.today().isoformat(), machine=machine(device),
        earlier_devices=[name for name in records.devices if name != device.type],
        versions=", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]),
        folder=(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder).as_posix(),
        shown_settings={name: value for name, value in settings.items()
                        if name != "recipe" and value not in (None, "")},
        canonical=render("canonical.md", estimate=read_canonical_estimate(made)),
        ablation=ablation(CHECKPOINTS / "ablation.json") if compared else "", familiarity=familiarity(made),
    )

"""How well a network knows what it does not know, by four scores; and the threshold for the one that is used.

Out-of-distribution detection. Every score is the larger, the more unlike the training images a picture is. Which one is
used was chosen by the sets of :mod:`mvit.data.out_of_distribution` that are marked for it, by two networks; the table
stands in each checkpoint's card.
"""

import math
from collections.abc import Callable
from datetime import date

import torch
import torch.nn.functional as F
from torch import Tensor

from mvit.data.images import Split
from mvit.data.out_of_distribution import Strangers
from mvit.evaluation.accuracy import wilson_interval
from mvit.inference.familiarity import NEIGHBOUR, Familiarity, body, neighbour_distance
from mvit.model import MobileViT
from mvit.storage.formats import FamiliarityRecord, Told

BANK_SIZE = 2000  # training images whose features are kept, 768 kB; six times as many had the same mean AUROC
FITTED = 5000  # training images for the other scores' means and covariance, the bank among them
SHARE = 0.05  # of the images to calibrate on is called unusual
USED = f"distance to neighbour {NEIGHBOUR}"


@torch.no_grad()
def pooled(model: MobileViT, images: Tensor, batch_size: int = 500) -> Tensor:
    """uint8 images (N, 3, size, size) -> (N, C), what the network's last linear layer is given."""
    features = body(model)
    return torch.cat([features(model.normalize(batch)) for batch in images.split(batch_size)])


# --------------------------------------------------------------------------- scores

Score = Callable[[Tensor], Tensor]  # (N, C) pooled features -> (N,)


@torch.no_grad()
def scores(model: MobileViT, features: Tensor, labels: Tensor) -> dict[str, Score]:
    """The scores of a network, by name, from the features (N, C) and labels, int64 (N,), of training images."""
    last = model.head[-1]
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()]).double()
    spread = features.double() - means[labels.unique(return_inverse=True)[1]]
    covariance = spread.T @ spread / len(spread)
    ridge = 1e-4 * covariance.diag().mean() * torch.eye(len(covariance), dtype=torch.float64)  # channels may be dead
    precision = torch.linalg.inv(covariance + ridge)
    bank = keep(features)

    def mahalanobis(x: Tensor) -> Tensor:
        """The squared distance to the nearest class mean, by the classes' common covariance."""
        apart = (x.double() - mean for mean in means)
        return torch.stack([((d @ precision) * d).sum(1) for d in apart], 1).amin(1)

    return {
        "softmax": lambda x: -last(x).softmax(1).amax(1),  # Hendrycks & Gimpel, arXiv 1610.02136
        "energy": lambda x: -last(x).logsumexp(1),         # Liu et al., arXiv 2010.03759
        "Mahalanobis": mahalanobis,                        # Lee et al., arXiv 1807.03888
        USED: lambda x: neighbour_distance(bank.float(), x),
    }


def keep(features: Tensor) -> Tensor:
    """The first features as a bank: of length one, in half precision."""
    return F.normalize(features[:BANK_SIZE]).half()


# --------------------------------------------------------------------------- how well they tell


def auroc(known: Tensor, strange: Tensor, sources: Tensor) -> tuple[float, float, float]:
    """The area under the ROC curve, and its 95 % interval: how often a stranger has the larger score.

    The interval is DeLong's (Biometrics 44, 1988), with what was cut from one source counted together (Obuchowski,
    Biometrics 53, 1997); from two or three sources it is rough.

    Args:
        known: (M,), scores of pictures of known classes.
        strange: (N,), scores of others.
        sources: int64, (N,), what each of these was cut from.
    """
    above, below = _placed(strange, known), 1 - _placed(known, strange)
    area = above.mean()
    sums = torch.zeros(int(sources.max()) + 1, dtype=torch.float64).index_add(0, sources, above - area)
    groups = len(sources.unique())
    variance = (groups / max(groups - 1, 1)) * sums.square().sum() / len(strange) ** 2 + below.var() / len(known)
    half = 1.96 * math.sqrt(variance)
    return area.item(), max(area.item() - half, 0.0), min(area.item() + half, 1.0)


def _placed(values: Tensor, among: Tensor) -> Tensor:
    """For each value the share of others that are smaller, those that are equal by half."""
    ordered = among.double().sort().values
    smaller, not_larger = (torch.searchsorted(ordered, values.double(), right=right) for right in (False, True))
    return (smaller + not_larger).double() / (2 * len(ordered))


@torch.no_grad()
def tell(model: MobileViT, train: Split, test: Split, sets: list[Strangers], network: str = "") -> list[Told]:
    """How well each score of a network tells each set from test images of its classes."""
    some = train.some(FITTED)
    by_name = scores(model, pooled(model, some.images), some.labels)
    features = pooled(model, test.images)
    known = {name: score(features) for name, score in by_name.items()}
    told: list[Told] = []
    for each in sets:
        features = pooled(model, each.images)
        told.append({
            "pictures": each.name, "chosen_by": each.chosen_by, "images": len(each.images),
            "sources": len(each.sources.unique()), "network": network,
            "auroc": {name: auroc(known[name], score(features), each.sources) for name, score in by_name.items()},
        })
    return told


# --------------------------------------------------------------------------- the threshold


def familiarity(model: MobileViT, train: Split, held_out: Split | None, test: Split,
                told: list[Told] | None = None) -> Familiarity:
    """Keep features of training images, and set the threshold by images that the network was not trained on.

    By those that were held out; where none were, by a half of the test images. (Training images are no measure: of a
    network fine-tuned on 50 images a class, so calibrated, a third of the test images looked unusual.) The other test
    images are counted, nothing is set by them.

    Args:
        model: the network.
        train: the images that it was trained on.
        held_out: those that were held out of its training, if any were.
        test: images of its classes, never trained on, two at least.
        told: what :func:`tell` gave.
    """
    calibrated_on = f"{held_out.name}; not trained on" if held_out else ""
    if held_out is None:
        half, whole = max(1, len(test) // 2), test.some(len(test))  # in random order
        held_out, test = whole[:half], whole[half:]
        calibrated_on = f"{half:,} images of the {test.name}; they are not among those counted"
    some = train.some(BANK_SIZE)
    bank = keep(pooled(model, some.images))
    # On the CPU: Apple's devices have no float64.
    measured, tested = (neighbour_distance(bank.float(), pooled(model, split.images)).cpu()
                        for split in (held_out, test))
    share = SHARE if len(measured) * SHARE >= 1 else 0.0  # of fewer than twenty images none is called unusual
    threshold = round(measured.double().quantile(1 - share).item() + 5e-6, 5)  # rounded up
    called = int((tested > threshold).sum())
    record: FamiliarityRecord = {
        "score": USED, "threshold": threshold, "bank": f"{len(some):,} images of the {train.name}",
        "calibrated_on": calibrated_on, "calibrated_images": len(held_out),
        "calibrated_share": (measured > threshold).double().mean().item(),
        "test": test.name, "test_images": len(test), "test_share": called / len(test),
        "test_share_interval_95": wilson_interval(called, len(test)),
        "told": told or [], "date": date.today().isoformat(), "torch": torch.__version__,
    }
    return Familiarity(bank.cpu(), record)

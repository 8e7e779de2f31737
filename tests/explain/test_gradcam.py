"""Grad-CAM: that it shows the region that counts, for the class that is asked about, and adds up to the logit."""

import pytest
import torch
from PIL import Image
from torch import nn

from mvit import MobileViT, MobileViTConfig, StageConfig
from mvit.data.examples import EXAMPLES
from mvit.data.pictures import to_network_size
from mvit.explain.gradcam import gradcam, gradcam_figure
from mvit.inference.classifier import as_pixels
from mvit.storage.files import CHECKPOINTS
from tests.conftest import CLASSES

BLUE, GREEN, RED = range(3)


@pytest.fixture
def colours(tiny):
    """A network whose last feature map is the picture, and whose classes each weigh one colour."""
    model = MobileViT(tiny).eval()
    model.normalize = lambda images: images / 255
    model.stem, model.stages, model.head[0] = nn.Identity(), nn.ModuleList(), nn.Identity()
    model.head[-1] = nn.Linear(3, 3)
    model.head[-1].weight.data = torch.tensor([[-1.0, 0, 2], [0, 2, -1], [2, -1, 0]])  # of red, green, blue in each
    return model


@pytest.fixture
def picture():
    """A red square top left and a green one bottom right."""
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[:, 0, 4:12, 4:12] = 255
    image[:, 1, 20:28, 20:28] = 255
    return image


def test_the_map_is_exactly_what_speaks_for_the_class(colours, picture):
    for label, channel in ((RED, 0), (GREEN, 1)):
        heat = gradcam(colours, picture, label)[0]
        assert torch.equal(heat > 0, picture[0, channel] > 0)
        assert heat.max().item() == pytest.approx(2 / 1024)
    assert gradcam(colours, picture, BLUE).sum() == 0  # nothing speaks for it; the red speaks against it


def test_what_the_tokens_add_and_take_away_is_the_logit(tiny, picture):
    """The negative of a class's weights shows what was taken away."""
    model = MobileViT(tiny).eval()
    last = model.head[-1]
    with torch.no_grad():
        logits = model(model.normalize(picture))[0] - last.bias
        added = [gradcam(model, picture, label).sum().item() for label in range(3)]
        last.weight.neg_()
        taken = [gradcam(model, picture, label).sum().item() for label in range(3)]
    assert [a - t for a, t in zip(added, taken, strict=True)] == pytest.approx(logits.tolist(), abs=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("checkpoint", ["reference", "strong"])
def test_of_two_things_in_one_picture_each_has_its_own_map(checkpoint):
    model = MobileViT.from_pretrained(CHECKPOINTS / checkpoint)
    both = Image.new("RGB", (512, 512), (125, 123, 114))
    both.paste(EXAMPLES["frog"]().resize((256, 256)), (0, 128))
    both.paste(EXAMPLES["cat"]().resize((256, 256)), (256, 128))
    pixels = as_pixels(to_network_size(both, 32))
    frog, cat = (gradcam(model, pixels, model.config.class_names.index(name))[0] for name in ("frog", "cat"))
    assert frog.shape == (8, 8)
    assert frog[:, :4].sum() > 2 * frog[:, 4:].sum()
    assert cat[:, 4:].sum() > 2 * cat[:, :4].sum()


def test_the_figure_is_brightest_where_the_map_is():
    heat = torch.zeros(8, 8)
    heat[3, 5] = 2.0
    figure = gradcam_figure(Image.new("RGB", (32, 32), (90, 90, 90)), heat).resize((8, 8), Image.Resampling.BOX)
    assert max((figure.convert("L").getpixel((x, y)), (y, x)) for y in range(8) for x in range(8))[1] == (3, 5)


def test_a_map_of_nothing_is_a_dark_figure():
    assert gradcam_figure(Image.new("RGB", (32, 32)), torch.zeros(8, 8)).convert("L").getextrema()[1] < 10


def test_any_shape_of_network_has_a_map():
    stages = (StageConfig(channels=8, dim=8, depth=1, heads=2),)
    model = MobileViT(MobileViTConfig(stem_channels=4, stages=stages, head_channels=8, patch_size=4, image_size=64,
                                      class_names=CLASSES)).eval()
    assert gradcam(model, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), RED).shape == (2, 32, 32)

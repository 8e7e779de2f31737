"""The named sizes of our network are as large as they are called, and can be trained by their names."""

import pytest

import train
from mvit import MobileViT, MobileViTConfig
from mvit.benchmark.costs import count_flops, count_parameters
from mvit.networks.sizes import SIZES


@pytest.mark.parametrize("name", SIZES)
def test_a_size_takes_what_its_name_says(name):
    network = MobileViT(MobileViTConfig(**SIZES[name]))
    assert count_flops(network) == pytest.approx(1e6 * int(name.partition("-")[0]), rel=0.08)
    assert count_parameters(network) <= 444_999
    assert network.config.name == "MobileViT"


def test_a_size_is_typed_by_its_name():
    assert train.parse(["--model", "50-mflops"]).model == SIZES["50-mflops"]

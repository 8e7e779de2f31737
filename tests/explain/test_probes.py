"""Linear probes: that they learn, that they are what they say, that they travel with a checkpoint."""

import torch

from mvit import MobileViT
from mvit.commands.probes import main
from mvit.data.images import load_train_and_test
from mvit.explain.probes import Probes, depths, fit_probe, pooled_features, train_probes


def test_fit_finds_the_classes_of_separable_features():
    labels = torch.arange(300) % 3
    features = 50 + 100 * torch.nn.functional.one_hot(labels, 3) + torch.randn(300, 3)  # far from zero, on purpose
    weight, bias = fit_probe(features, labels, 3)
    assert ((features @ weight.T + bias).argmax(1) == labels).all()


def test_features_are_the_means_of_the_network_s_own_maps(tiny):
    model = MobileViT(tiny).eval()
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    features = pooled_features(model, images, batch_size=2)
    assert list(features) == ["stem", "block 1", "block 2", "block 3"]
    x = model.normalize(images)
    with torch.inference_mode():
        for name, module in depths(model).items():
            x = module(x)
            torch.testing.assert_close(features[name], x.mean((2, 3)))


def test_probes_are_made_saved_and_used(tiny, folder, tmp_path, capsys):
    checkpoint = tmp_path / "checkpoint"
    model = MobileViT(tiny).eval()
    model.save_pretrained(checkpoint)
    assert Probes.load(checkpoint) is None
    assert main([str(checkpoint), "--data", str(folder)]) == 0
    train, test = load_train_and_test(folder)
    expected, probes = train_probes(model, train, test), Probes.load(checkpoint)
    assert probes.accuracy == expected.accuracy
    assert probes.measured_on == test.name
    assert max(probes.accuracy.values()) > 0.8            # the colour is there from the stem on
    for name, features in pooled_features(model, test.images).items():
        p = probes.read(name, features)
        torch.testing.assert_close(p.sum(1), torch.ones(len(test)))
        assert (p.argmax(1) == test.labels).float().mean().item() == expected.accuracy[name]
    (checkpoint / "probes.safetensors").write_bytes(b"broken")
    assert Probes.load(checkpoint) is None


def test_what_cannot_be_probed_is_said_in_a_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

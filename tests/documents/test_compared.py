"""The table of other networks: equal epochs, equal time."""

import json

from mvit.documents.compared import compared, yardsticks

SPLIT = "test split"


def records(folder, accuracies, split=SPLIT):
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps([{"test_accuracy": accuracy} for accuracy in accuracies]))
    (folder / "evaluation.json").write_text(json.dumps(
        {"split": split, "images": 100, "accuracy": accuracies[-1], "accuracy_interval_95": [0.1, 0.9]}))


def test_equal_epochs_and_equal_time(tmp_path):
    assert "None was trained yet" in compared(tmp_path)
    records(tmp_path / "reference", [0.1, 0.2, 0.3, 0.4])
    records(tmp_path / "compared" / "slow", [0.15, 0.25, 0.35, 0.5])
    records(tmp_path / "compared" / "slower", [0.5, 0.5, 0.5, 0.6])
    records(tmp_path / "compared" / "fast", [0.5, 0.5, 0.5, 0.7])
    records(tmp_path / "compared" / "begun", [0.55, 0.65])  # the same constant learning rate
    records(tmp_path / "compared" / "longer", [0.1, 0.2, 0.3, 0.45, 0.9])
    records(tmp_path / "compared" / "elsewhere", [0.9, 0.9, 0.9, 0.9], "another test split")
    assert "| slow | 50.00% (40.4% to 59.6%) |  |  |" in compared(tmp_path)
    assert "| longer | 45.00% (35.6% to 54.8%) |  |  |" in compared(tmp_path)
    assert "elsewhere" not in compared(tmp_path)
    (tmp_path / "compared" / "training_speed.json").write_text(json.dumps(
        {"machine": "m", "threads": 2, "torch": "t", "date": "d", "images_per_second": {
            "reference": 100, "compared/slow": 60, "compared/slower": 20, "compared/fast": 200,
            "compared/begun": 40}}))
    table = compared(tmp_path)
    assert "| ours | 40.00% (30.9% to 49.8%) | 100 (1.00 ×) | 40.00% (epoch 4) |" in table
    assert "| slow | 50.00% (40.4% to 59.6%) | 60 (0.60 ×) | 25.00% (epoch 2) |" in table
    assert "| 20 (0.20 ×) | not yet an epoch |" in table
    assert "70.00% (epoch 4) and has time left |" in table
    assert "| begun | not known: it was trained for 2 | 40 (0.40 ×) | 55.00% (epoch 1) |" in table


def trained(folder, accuracy, **settings):
    """Records of a run that held images out and read the test split."""
    records(folder, [accuracy])
    (folder / "history.json").write_text(json.dumps([{"validation_accuracy": accuracy}]))
    (folder / "validation.json").write_text((folder / "evaluation.json").read_text().replace(SPLIT, "held out"))
    (folder / "run.json").write_text(json.dumps({"command": "python train.py", "settings": {
        "recipe": "quick", "network": "mobilevit_xxs", "stem": "", "model": {}, "epochs": 1, "seed": 0, **settings}}))


def test_a_yardstick_stands_beside_the_sizes_whose_settings_it_has(tmp_path):
    sizes = [{"name": "small", "parameters": 110_000, "flops": 24e6}]
    trained(tmp_path / "small", 0.85)
    assert "None was trained yet" in yardsticks(tmp_path, sizes)
    trained(tmp_path / "compared" / "tiniest-quick", 0.9, network="tiniest", model=None)
    trained(tmp_path / "compared" / "other", 0.95, network="tiniest", seed=1)
    table = yardsticks(tmp_path, sizes).splitlines()
    assert table[2:5] == ["| small | 0.11 M | 24 | 85.00% (10.0% to 90.0%) | 85.00% (10.0% to 90.0%) |",
                          "| tiniest-quick | 0.10 M | 88 | 90.00% (10.0% to 90.0%) | 90.00% (10.0% to 90.0%) |", ""]
    assert "1 epochs, seed 0. Held out: held out; tested on: test split, 100 images." in table[-1]
    assert yardsticks(tmp_path, []) == yardsticks(tmp_path / "none", sizes)

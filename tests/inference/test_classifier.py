"""The classifier answers as evaluation does."""

import json

import pytest

from mvit import MobileViT
from mvit.data.images import load_split
from mvit.data.pictures import load_picture
from mvit.evaluation.accuracy import evaluate
from mvit.inference.classifier import Classifier


def test_classifier_does_what_evaluation_does(checkpoint, folder):
    classifier = Classifier(checkpoint)
    file = folder / "test" / "green" / "04.jpg"
    answer = classifier(load_picture(file))
    split = load_split(folder, "test")
    expected = classifier.model.probabilities(classifier.model(classifier.model.normalize(split.images[14:15])))[0]
    assert list(answer.confidences) == ["blue", "green", "red"]
    assert list(answer.confidences.values()) == pytest.approx(expected.tolist(), abs=1e-4)  # the fast variant
    assert answer.seen.size == (32, 32)
    assert answer.best[1] == max(answer.confidences.values())
    assert answer.reliability is None


def test_classifier_reports_how_often_it_is_right(checkpoint, folder):
    result = evaluate(MobileViT.from_pretrained(checkpoint), load_split(folder, "test"))
    (checkpoint / "evaluation.json").write_text(json.dumps(result))
    classifier = Classifier(checkpoint)
    answer = classifier(load_picture(folder / "test" / "green" / "04.jpg"))
    confidence = answer.best[1]
    assert answer.reliability["confidence_from"] <= confidence <= answer.reliability["confidence_to"]
    for text in ("{", "[]", '{"reliability": 3}'):  # a damaged one does no harm
        (checkpoint / "evaluation.json").write_text(text)
        assert Classifier(checkpoint).reliability == []

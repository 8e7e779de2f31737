"""What the JSON files hold that are written in one place and read in others, key by key."""

from typing import Any, NotRequired, TypedDict

# --------------------------------------------------------------------------- evaluation.json, validation.json


class ConfidenceBin(TypedDict):
    """The images whose confidence was within a tenth: how many, and the share that was right."""

    confidence_from: float
    confidence_to: float
    images: int
    accuracy: float | None  # None: of no images


class Evaluation(TypedDict):
    """A checkpoint on one split: accuracies as fractions, the loss in nats."""

    split: str
    images: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    loss: float
    class_names: list[str]
    per_class_accuracy: dict[str, float | None]  # None: of no images
    confusion_matrix: list[list[int]]  # a row for each true class
    temperature: float
    calibration_error: float
    calibration_error_at_temperature_1: float
    reliability: list[ConfidenceBin]
    date: str
    torch: str
    device: str


class Mistake(TypedDict):
    """An image that was answered wrongly: what it is, what the network said, and how sure it was, as a fraction."""

    file: str
    truth: str
    answer: str
    confidence: float


# --------------------------------------------------------------------------- familiarity.json


class Told(TypedDict):
    """How well each score tells pictures of one kind, none of them of a known class, from test images."""

    pictures: str
    chosen_by: bool  # the score was chosen by these; the others are for reporting alone
    images: int
    sources: int  # files that they were cut from
    network: str  # another than the checkpoint's, if there were classes that it was trained without
    auroc: dict[str, tuple[float, float, float]]  # by score: its area under the ROC curve, and a 95 % interval


class FamiliarityRecord(TypedDict):
    """Beyond which distance a picture is called unusual, and how that came about; shares are fractions."""

    score: str
    threshold: float
    bank: str  # the training images whose features are kept
    calibrated_on: str
    calibrated_images: int
    calibrated_share: float  # of these called unusual: by this the threshold was set
    test: str
    test_images: int
    test_share: float
    test_share_interval_95: tuple[float, float]
    told: list[Told]  # empty where it was not measured
    date: str
    torch: str


# --------------------------------------------------------------------------- history.json, run.json

# An epoch of a run: the names of its fields depend on the split that was watched ("test_loss", "validation_loss").
Epoch = dict[str, Any]


class About(TypedDict):
    """What was typed for a run, its settings by name, the same of the runs that it builds on, by folder, how many
    images it trained on, and a checksum of them; early records lack the last three."""

    command: str
    settings: dict[str, Any]
    earlier: NotRequired[dict[str, "About | None"]]
    images: NotRequired[int]
    fingerprint: NotRequired[int]


# --------------------------------------------------------------------------- benchmark.json


class Measurement(TypedDict):
    """One network in one variant with a number of threads: times are medians and percentiles of all its passes."""

    name: str
    variant: str
    device: str
    threads: int
    params: int
    flops: int
    accuracy: float | None
    accuracy_source: str | None
    accuracy_interval_95: NotRequired[tuple[float, float] | None]  # where it is measured
    fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    throughput_64: float | None
    passes: int
    peak_memory: NotRequired[int | None]  # in bytes; of the network, and measured after the times


class Ratio(TypedDict):
    """How many times the FPS of another network ours has, by the best variant of each."""

    kind: str
    device: str
    per_core: bool  # both with one thread; else each with the better number of threads
    against: str
    ratio: float
    ours: str
    theirs: str


class Benchmark(TypedDict):
    """A comparison of networks on one machine."""

    machine: str
    torch: str
    python: str
    date: str
    batch: int
    models: list[Measurement]
    ratios: list[Ratio]
    notes: list[str]


# --------------------------------------------------------------------------- finetuning.json


class Trials(TypedDict):
    """Some settings on a small task: the accuracy, as a fraction, that each seed's network and images end with."""

    what: str
    settings: dict[str, Any]  # by name, those that differ from the reference recipe's
    accuracies: list[float]


class FineTuning(TypedDict):
    """Fine-tuning against training from nothing: on a task of a few images a class, the same for all of a seed."""

    weights: str
    trained_on: list[str]  # the classes of these weights
    classes: list[str]
    images_per_class: int
    split: str  # that the accuracies are of
    images: int
    trials: list[Trials]
    date: str
    torch: str
    device: str


# --------------------------------------------------------------------------- training_speed.json


class Turns(TypedDict):
    """Ways to train, by name, turn by turn on one machine."""

    machine: str
    threads: int
    torch: str
    date: str
    batch_size: int
    rounds: int
    steps: int
    images_per_second: dict[str, float]


class TrainingSpeed(Turns):
    """Loops for one network, and the shares of a step's time by kind of operator."""

    python: str
    recipe: str
    bfloat16: bool
    ratio: dict[str, float]
    minutes_for_20_epochs: dict[str, float]
    step: dict[str, float]


class RivalSpeed(Turns):
    """Networks, by checkpoint, in our loop; and whether the faster precision of each is bfloat16."""

    bfloat16: dict[str, bool]


# --------------------------------------------------------------------------- canonical.json


class CanonicalEstimate(TypedDict):
    """``canonical.json``: accuracy on the canonical test images, estimated, and from which accuracies."""

    accuracy: float
    accuracy_interval_95: tuple[float, float]
    test: str
    test_accuracy: float
    held_out: str
    held_out_accuracy: float
    held_out_accuracy_as_jpeg: float
    jpeg: str
    date: str
    torch: str


# --------------------------------------------------------------------------- interventions.json


class Cost(TypedDict):
    """The accuracy after one change, and by how much it changed, both as fractions with 95 % intervals.

    Numbers count from 1, as people do. ``patch`` is the side in pixels of what was covered in each picture.
    """

    block: NotRequired[int]
    layer: NotRequired[int]
    head: NotRequired[int]
    patch: NotRequired[int]
    accuracy: float
    change: float
    change_interval_95: tuple[float, float]


class Costs(TypedDict):
    """``interventions.json``: what the experiments cost on the images of one split, named with its pixels."""

    split: str
    images: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    uniform: list[Cost]
    uniform_everywhere: Cost
    muted: list[Cost]
    covered: list[Cost]
    date: str
    torch: str

"""The images of a checkpoint's run, read again as the run read them."""

from pathlib import Path

from mvit.data.images import DataError, Split, hold_out, load_split, load_train_and_test
from mvit.evaluation.accuracy import with_classes_of
from mvit.model import MobileViT
from mvit.storage.records import Records


def test_images(checkpoint: str | Path, model: MobileViT, data: str | None) -> Split:
    """Those that the run tested on, in the order of the network's classes; a test split that it made is made again.

    Args:
        checkpoint: its folder; without a record of the run, images are read as by a run without options.
        model: its network.
        data: as for :func:`mvit.data.images.load_split`.

    Raises:
        DataError: they cannot be had, or are of other classes.
    """
    reading = Records.read(Path(checkpoint)).reading
    return with_classes_of(model, load_split(data, "test", model.config.image_size, **reading))


def images_of_run(checkpoint: str | Path, model: MobileViT, data: str | None) -> tuple[Split, Split | None, Split]:
    """Those that it trained on, those that it held out, if any, and those that it tested on, as :func:`test_images`."""
    records = Records.read(Path(checkpoint))
    train, test = (with_classes_of(model, split) for split in
                   load_train_and_test(data, model.config.image_size, **records.reading))
    count = records.run["settings"].get("validation") if records.run else 0
    if not count:
        return train, None, test
    try:
        return *hold_out(train, count), test
    except ValueError as error:
        raise DataError(f"These are not the images of the run, which held out {count:,}: {error}.") from error

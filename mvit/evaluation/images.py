"""The images of a checkpoint's run, read again as the run read them."""

from pathlib import Path

from mvit.data.folders import find_splits
from mvit.data.images import MADE, TEST_SHARE, DataError, Split, hold_out, in_percent, load_split, load_train_and_test
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
        DataError: they cannot be had, or are of other classes; where the run made the split, also if pictures were
            added, changed or removed since: others, trained on, would be among those taken for testing now.
    """
    records = Records.read(Path(checkpoint))
    its = records.evaluation
    if data and its and MADE in its["split"] and "test" not in find_splits(Path(data).expanduser()):
        return images_of_run(checkpoint, model, data)[2]
    return with_classes_of(model, load_split(data, "test", model.config.image_size, **records.reading))


def check_draw(records: Records, test: Split, test_share: float | None = None) -> None:
    """Raise a DataError where a run made its test split so that it has trained on some of what is taken for it now: as
    no run does any more, or a smaller one.

    Args:
        records: the run's.
        test: what is taken for its test images, or for those of a run that begins with its weights.
        test_share: of all pictures in that split, 0 for the usual one; None for the run's own.
    """
    its = records.evaluation
    if not (its and records.run and all(MADE in name for name in (its["split"], test.name))
            and set(its["class_names"]) & set(test.class_names)):
        return
    if records.fingerprint is None:
        raise DataError("This run drew its test pictures as an earlier version of this program did, and trained on "
                        "most of those that would be taken for them now. Train again.")
    its_share = records.run["settings"].get("test_share") or TEST_SHARE
    share = its_share if test_share is None else test_share or TEST_SHARE
    if share > its_share:
        raise DataError(f"The weights were trained on all but {in_percent(its_share)} of such pictures, and so on some "
                        f"of the {in_percent(share)} that are to be kept for testing: give --test-share {its_share:g}.")


def held_out_of(records: Records, train: Split, count: int) -> tuple[Split, Split]:
    """What a run trained on, and the images that it held out.

    Raises:
        DataError: these are not its images.
    """
    try:
        rest, held_out = hold_out(train, count)
    except ValueError as error:
        raise DataError(f"These are not the images of the run, which held out {count:,}: {error}.") from error
    check_trained_on(records, rest)
    return rest, held_out


def check_trained_on(records: Records, train: Split) -> None:
    """Raise a DataError where a run is known to have trained on other images."""
    if records.fingerprint not in (None, train.fingerprint()):
        raise DataError("These are not the images that the run trained on: pictures were added, changed or removed "
                        "since, or it is another folder. Train again, or give the folder as it was; pictures in a "
                        "folder test/ of their own can be tested on at any time.")


def images_of_run(checkpoint: str | Path, model: MobileViT, data: str | None) -> tuple[Split, Split | None, Split]:
    """Those that it trained on, those that it held out, if any, and those that it tested on, as :func:`test_images`.

    Raises:
        DataError: also where pictures were added, changed or removed since.
    """
    records = Records.read(Path(checkpoint))
    train, test = load_train_and_test(data, model.config.image_size, **records.reading)
    check_draw(records, test)
    count, held_out = records.run["settings"].get("validation") if records.run else 0, None
    if count:
        train, held_out = held_out_of(records, train, count)
    else:
        check_trained_on(records, train)
    return (with_classes_of(model, train), with_classes_of(model, held_out) if held_out else None,
            with_classes_of(model, test))

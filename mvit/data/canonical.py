"""CIFAR-10 as its authors publish it, through torchvision: downloaded once, checked by md5."""

import socket
from http.client import HTTPException
from tarfile import TarError
from typing import TYPE_CHECKING

from mvit.data.folders import LAYOUT, DataError
from mvit.storage.files import ROOT

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CANONICAL_ROOT = ROOT / "data"
ARCHIVE_BYTES = 170_498_071
SILENCE = 20  # seconds after which a server or proxy that sends nothing is given up


def read_cifar10(split: str) -> "CIFAR10":
    """A split of CIFAR-10, ``"train"`` or ``"test"``, from ``data/``, where it is put if it is not there.

    Raises:
        DataError: it is not there and cannot be downloaded.
    """
    from mvit.compat import torchvision  # here, since it takes a second and the page does without

    cifar10 = torchvision.datasets.CIFAR10
    waits = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)  # torchvision's requests have no limit of their own
    try:
        return cifar10(CANONICAL_ROOT, train=split == "train", download=True)
    # No network, a proxy's nonsense, a full disk, a download that is not whole.
    except (OSError, RuntimeError, ValueError, EOFError, HTTPException, TarError) as error:
        raise DataError(
            f"CIFAR-10 is not in {CANONICAL_ROOT}{_what_is_there(cifar10)} and could not be downloaded "
            f"({str(error).rstrip('.') or type(error).__name__}): connect to the internet and run this again, or put "
            f"{cifar10.url} into {CANONICAL_ROOT} by hand, or give a folder of pictures ({LAYOUT}) by --data PATH."
        ) from error
    finally:
        socket.setdefaulttimeout(waits)


def _what_is_there(cifar10: "type[CIFAR10]") -> str:
    """Of an archive that is not the right one, since then it would have been unpacked."""
    archive = CANONICAL_ROOT / cifar10.filename
    if not archive.is_file():
        return ""
    size = archive.stat().st_size
    return f" ({archive.name} is there, but damaged or not whole: {size:,} of {ARCHIVE_BYTES:,} bytes)"

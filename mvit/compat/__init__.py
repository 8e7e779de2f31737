"""torchvision, imported so that it also works beside a CPU build of torch.

The torchvision on the Python index is compiled against CUDA. Beside a CPU-only torch its compiled operators do
not load, and then ``import torchvision`` itself fails: it registers shape functions for ``torchvision::nms``,
which nobody has defined ("operator torchvision::nms does not exist"). We use none of those operators (they are
for object detection), so it is enough to declare them and to import again.

    from mvit.compat import torchvision
"""

import importlib
import sys
from types import ModuleType

import torch


def _import_torchvision() -> ModuleType:
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _keep.append(library)  # a library that is collected takes its definitions with it
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return importlib.import_module("torchvision")


_keep: list[torch.library.Library] = []
torchvision = _import_torchvision()

"""Weights from a folder or from the Hugging Face Hub, strictly: what is not right is said and not loaded."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import PyTorchModelHubMixin, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

LFS_POINTER = b"version https://git-lfs."


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message is one sentence for the person who named it."""


class Pretrained(nn.Module, PyTorchModelHubMixin):
    """A network built from a dataclass, its only argument, with that as ``config.json`` beside its weights."""

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, H, W) to what the network takes."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load ``config.json`` and ``model.safetensors`` from a folder, or from a repository on the Hugging Face Hub.

        Strict: every weight the network has must be in the file, in its shape, and no other; all must be finite, and
        so must the answer to a picture. No pickle is read. The prefixes that ``torch.compile`` ("_orig_mod.") and
        ``DistributedDataParallel`` ("module.") give to names are taken off.

        Returns:
            the network in evaluation mode, on the CPU unless ``map_location`` says otherwise.

        Raises:
            CheckpointError: in one sentence, what is wrong with the files.
        """
        name = str(pretrained_model_name_or_path)
        try:
            if Path(name).is_dir():
                if not Path(name, CONFIG_NAME).is_file():  # of which the mixin only warns
                    raise FileNotFoundError(2, "missing", CONFIG_NAME)
            elif not _hub_answers(name):
                kwargs["local_files_only"] = True  # what was downloaded before can still be had
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        except LocalEntryNotFoundError:
            problem = "there is no such folder, and the Hugging Face Hub cannot be reached (is this machine offline?)"
        except FileNotFoundError as error:
            problem = f"{Path(error.filename or '').name or 'a file'} is missing"
        except (HfHubHTTPError, HFValidationError, ConnectionError) as error:
            problem = f"there is no such folder, nor a repository on the Hub to be reached ({type(error).__name__})"
        except SafetensorError:
            problem = f"{SAFETENSORS_SINGLE_FILE} is damaged or no safetensors file"
        except OSError as error:
            problem = f"a file cannot be read ({error.strerror or type(error).__name__})"
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            problem = f"its config.json describes no MobileViT ({error})"
        raise CheckpointError(f"Cannot load {pretrained_model_name_or_path}: {problem}.")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, config: Any = None, map_location: str = "cpu",
                         **download: Any) -> Self:
        """The mixin's own hook, without its leniency (missing weights, pickles) and its print to stdout."""
        if not is_dataclass(config):
            raise FileNotFoundError(2, "missing", "config.json")
        file = Path(model_id, SAFETENSORS_SINGLE_FILE)
        if not Path(model_id).is_dir():
            file = Path(hf_hub_download(model_id, SAFETENSORS_SINGLE_FILE, **download))
        elif not file.is_file():
            raise FileNotFoundError(2, "missing", file.name)
        with open(file, "rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise CheckpointError(f"Cannot load {model_id}: {file.name} is a pointer to a file that git has not "
                                      "fetched: run git lfs pull in its repository.")
        weights = {re.sub(r"^(_orig_mod\.|module\.)+", "", name): tensor for name, tensor in load_file(file).items()}
        with torch.device("meta"):  # compared before it is built: a config from a stranger allocates no giant
            expected = {name: tensor.shape for name, tensor in cls(config).state_dict().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != expected:
            raise CheckpointError(f"Cannot load {model_id}: {file.name} holds other weights than the network that its "
                                  "config.json describes.")
        model = cls(config)
        model.load_state_dict(weights)
        if not model.eval()._is_finite():
            raise CheckpointError(f"Cannot load {model_id}: {file.name} holds weights that are no finite numbers, or "
                                  "make none: they are damaged, or their training went wrong.")
        return model.to(map_location)

    @torch.no_grad()
    def _is_finite(self) -> bool:
        """Whether all weights are finite, and what they make of a picture of noise."""
        picture = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
        return (all(tensor.isfinite().all() for tensor in self.state_dict().values())
                and bool(self(self.normalize(picture)).isfinite().all()))


def _hub_answers(name: str) -> bool:
    """Whether the Hub can be asked for a repository: one try, where a download would make five in 23 seconds."""
    try:
        get_hf_file_metadata(hf_hub_url(name, CONFIG_NAME), timeout=5)
    except (HfHubHTTPError, HFValidationError):  # an answer all the same
        return True
    except Exception:  # of whatever library carries the request
        return False
    return True

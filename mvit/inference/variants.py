"""Ways to run a trained network faster, without changing what it says.

Each takes a network and an example of its input and gives back a function with the same outputs to rounding. They are
made for any convolutional network, so that a comparison can give each side the best of them.
"""

import contextlib
import copy
import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from mvit.inference.onnx_attention import OPSET, without_copies_for_heads

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

Forward = Callable[[Tensor], Tensor]
Network = TypeVar("Network", bound=nn.Module)


class UnavailableError(Exception):
    """What a variant needs is not on this machine; the message says what."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Tracing and exporting talk a lot, on stdout and in warnings, of what is of no use to the person at the page."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@torch.no_grad()
def fold_batchnorm(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy of the network whose BatchNorms have become part of the convolutions before them.

    In evaluation a BatchNorm is a fixed scale and shift of each channel, and so is what a convolution does to its
    weights and bias. Which convolution feeds which BatchNorm is seen in one forward pass on ``example``.
    """
    model = copy.deepcopy(model).eval()
    names = {module: name for name, module in model.named_modules()}
    producers: dict[int, nn.Conv2d] = {}
    keep: list[Tensor] = []  # a tensor that is freed could lend its id to another
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after_conv(module: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        keep.append(output)
        producers[id(output)] = module

    def before_norm(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in producers:
            pairs.append((producers[id(inputs[0])], module))

    handles = []
    for module in names:
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before_norm))
    model(example)
    for handle in handles:
        handle.remove()
    for conv, norm in pairs:
        model.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        # timm's BatchNorm brings the activation with it.
        model.set_submodule(names[norm], getattr(norm, "act", nn.Identity()))
    return model


def eager(model: nn.Module, example: Tensor) -> Forward:
    """The network as it was trained, in evaluation mode."""
    return copy.deepcopy(model).eval()


def to_channels_last(model: Network) -> Network:
    """The network itself, its weights with the channels of a pixel side by side in memory."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # declared for tensors alone
    return model


def channels_last(model: nn.Module, example: Tensor) -> Forward:
    """Weights and maps with the channels of a pixel side by side in memory."""
    model = to_channels_last(copy.deepcopy(model).eval())
    return lambda x: model(x.contiguous(memory_format=torch.channels_last))


def folded(model: nn.Module, example: Tensor) -> Forward:
    """BatchNorm folded into convolutions."""
    return fold_batchnorm(model, example)


def folded_channels_last(model: nn.Module, example: Tensor) -> Forward:
    """BatchNorm folded into convolutions, and maps in channels_last order."""
    return channels_last(fold_batchnorm(model, example), example)


def frozen(model: nn.Module, example: Tensor) -> Forward:
    """The same, traced and frozen by TorchScript: no Python between operators, and weights packed for oneDNN.

    For inputs of the example's shape only.
    """
    traced = _freeze(model, example)
    return lambda x: traced(x.contiguous(memory_format=torch.channels_last))


def fused(model: nn.Module, example: Tensor) -> Forward:
    """Frozen, and compiled by oneDNN's graph compiler, which is part of torch and needs no other.

    A convolution and the activation behind it become one operator. And all convolutions are oneDNN's: torch itself
    takes those of a single small map as matrix products on copies of it (``_slow_conv2d_forward``), which is slower.

    Raises:
        UnavailableError: there is no such compiler for this device, or it does not take this network.
    """
    if example.is_cuda or not torch.backends.mkldnn.is_available():
        raise UnavailableError("oneDNN's graph compiler is for CPUs whose torch has oneDNN")
    before = torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(True)
    try:
        with _AttentionInParts():
            traced = _freeze(model, example)
        with torch.no_grad():
            for _ in range(3):  # the first passes look at shapes, and compile
                traced(example.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        raise UnavailableError(f"oneDNN's graph compiler does not take this network: {error}") from error
    finally:
        torch.jit.enable_onednn_fusion(before)
    return lambda x: traced(x.contiguous(memory_format=torch.channels_last))


def fused_or_frozen(model: nn.Module, example: Tensor) -> Forward:
    """The fastest that there is without anything but torch."""
    try:
        return fused(model, example)
    except UnavailableError:
        return frozen(model, example)


def _freeze(model: nn.Module, example: Tensor) -> torch.jit.ScriptModule:
    model = to_channels_last(fold_batchnorm(model, example)).requires_grad_(False)
    with torch.no_grad(), quiet():
        traced: torch.jit.ScriptModule = torch.jit.freeze(
            # Unchecked: to trace it once more takes as long as to trace it, and the tests compare what comes out.
            torch.jit.trace(_WithoutParts(model), example.contiguous(memory_format=torch.channels_last),
                            check_trace=False))
    return traced


class _WithoutParts(nn.Module):
    """A network as one part, whose weights become constants of the trace: of each of its modules torch would make a
    class, which takes as long as to trace them all."""

    def __init__(self, function: Forward):
        super().__init__()
        self.function = [function]  # in a list, so that it is not registered
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.function[0](x)


class _AttentionInParts(TorchFunctionMode):
    """While it is entered, fused attention is two products and a softmax: faster for some dozens of tokens on a CPU."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        if function is F.scaled_dot_product_attention and len(args) == 3 and not kwargs and args[0].dim() == 4:
            query, key, value = (x.flatten(0, 1) for x in args)  # (B heads, N, d): batched products want three axes
            scale = int(query.shape[-1]) ** -0.5  # a number: while it is traced, a shape has tensors
            weights = torch.bmm(scale * query, key.transpose(1, 2)).softmax(-1)
            return torch.bmm(weights, value).unflatten(0, args[0].shape[:2])
        return function(*args, **kwargs or {})


def compiled(model: nn.Module, example: Tensor) -> Forward:
    """torch.compile with BatchNorm folded: needs a C++ compiler on a CPU."""
    from torch._inductor import config
    from torch._inductor.exc import InductorError

    function = torch.compile(to_channels_last(fold_batchnorm(model, example)))
    try:
        with torch.no_grad(), config.patch({"freezing": True}):
            function(example)
    except InductorError as error:  # no C++ compiler, or none that works
        raise UnavailableError(f"torch.compile: {str(error).splitlines()[0]}") from error
    return function


def onnx_runtime(model: nn.Module, example: Tensor) -> Forward:
    """Exported to ONNX and run by ONNX Runtime: pip install onnx onnxscript onnxruntime."""
    if example.is_cuda:
        raise UnavailableError("only ONNX Runtime's CPU build is used here")
    proto = to_onnx(copy.deepcopy(model).eval(), example, opset_version=OPSET)
    session = onnx_session(without_copies_for_heads(proto))
    (name,) = (argument.name for argument in session.get_inputs())
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def openvino(model: nn.Module, example: Tensor) -> Forward:
    """Exported to ONNX as it is and run by OpenVINO, in float32 also where the CPU has bfloat16: pip install openvino.
    """
    if example.is_cuda:
        raise UnavailableError("only OpenVINO's CPU plugin is used here")
    try:
        from openvino import Core
    except ImportError as error:
        raise UnavailableError("OpenVINO is not installed: pip install openvino") from error
    core, proto = Core(), to_onnx(copy.deepcopy(model).eval(), example)
    compiled_model = core.compile_model(core.read_model(proto.SerializeToString()), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads()})
    return lambda x: torch.from_numpy(compiled_model(x.numpy())[0])


def to_onnx(model: nn.Module, example: Tensor, **options: Any) -> "ModelProto":
    """The network as ONNX, by torch's exporter; ``options`` are those of ``torch.onnx.export``.

    Raises:
        UnavailableError: a package that exporting or running it needs is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UnavailableError(f"{error.name} is not installed, which ONNX needs: "
                                   "pip install onnx onnxscript onnxruntime.") from error
    with quiet():
        program = torch.onnx.export(model, (example,), dynamo=True, verbose=False, **options)
    assert program is not None  # None is without dynamo
    return program.model_proto


def onnx_session(proto: "ModelProto") -> "InferenceSession":
    """An ONNX file in ONNX Runtime, on the CPU with as many threads as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(  # its sum and LayerNorm in one takes longer than both (1.32, 256 x 32)
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"])


# In the order of what they ask for.
VARIANTS: dict[str, Callable[[nn.Module, Tensor], Forward]] = {
    "eager": eager,
    "channels_last": channels_last,
    "folded": folded,
    "folded, channels_last": folded_channels_last,
    "frozen": frozen,
    "fused": fused,
    "torch.compile": compiled,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
}
PYTORCH_VARIANTS = set(VARIANTS) - {"ONNX Runtime", "OpenVINO"}

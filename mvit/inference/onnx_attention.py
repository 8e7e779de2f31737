"""What an exported network's attention becomes for ONNX Runtime: one operator, without copies for the heads.

Since opset 23 attention is an operator of ONNX, and it takes (batch, N, heads d) as well as (batch, heads, N, d). A
network that splits heads and joins them again only for it, as :class:`mvit.model.Attention` does, can do without both.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 23


def without_copies_for_heads(proto: "ModelProto") -> "ModelProto":
    """The same network; needs onnxscript, as the export did before."""
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.pattern import RewriteRule

    rewritten: ModelProto = rewrite(proto, [RewriteRule(_by_head, _in_one)])
    return rewritten


def _by_head(op: Any, qkv: Any, split: Any, joined: Any) -> Any:
    """The pattern: (S, N, 3 d) to heads, to queries, keys and values, to what they attend to, and back."""
    heads = op.Transpose(op.Reshape(qkv, split, _allow_other_attributes=True), perm=[0, 2, 1, 3], _outputs=["heads"])
    q, k, v = op.Split(heads, axis=1, num_outputs=3, _outputs=3)
    y = op.Attention(q, k, v, _allow_other_attributes=True)
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), joined, _allow_other_attributes=True)


def _in_one(op: Any, qkv: Any, heads: Any, **_: Any) -> Any:
    q, k, v = op.Split(qkv, axis=-1, num_outputs=3, _outputs=3)
    count = heads.shape[1] // 3
    return op.Attention(q, k, v, q_num_heads=count, kv_num_heads=count)

"""The endpoint /attend: what a token of a picture attends to, in numbers, for programs."""

import inspect
from functools import partial
from typing import TypedDict

import gradio as gr

from mvit.data.pictures import PictureError
from mvit.explain.attention import attention, heat_map
from mvit.inference.classifier import as_pixels
from mvit.page.checkpoints import usable
from mvit.page.classify import read_picture
from mvit.page.pictures import picture_input


class Attended(TypedDict):
    """What /attend answers."""

    weights: list[list[float]]
    map_size: tuple[int, int]
    patch_size: tuple[int, int]


def attention_weights(file: str | None, block: object, layer: object, head: object, row: object, column: object,
                      checkpoint: str) -> Attended:
    """One picture in, the attention weights of one of its tokens out.

    What is counted is counted from 1, as on the page. block: which MobileViT block. layer: which transformer layer of
    it. head: which head, or 0 for the mean of all. row, column: the token that is the query, in tokens of the block's
    feature map of H × W, from the top left.

    The answer: weights, H rows of W numbers from 0 to 1, for each token as the key its share of the attention; they sum
    to 1, and tokens at another position in their patch than the query's have 0, since it does not attend to them.
    map_size: [H, W] in tokens. patch_size: [h, w] in tokens.
    """
    if not file:
        raise _refusal("There is no picture: upload one, and give its path.")
    model = usable(checkpoint).model
    try:
        seen = read_picture(file, model.config.image_size)
    except PictureError as error:
        raise _refusal(str(error)) from error
    blocks = attention(model, model.normalize(as_pixels(seen)))
    chosen = blocks[_whole("block", block, 1, len(blocks)) - 1]
    number = _whole("layer", layer, 1, len(chosen.layers)) - 1
    of_head = _whole("head", head, 0, chosen.layers[number].shape[2]) - 1
    H, W = chosen.map_size
    token = _whole("row", row, 1, H) - 1, _whole("column", column, 1, W) - 1
    weights = heat_map(chosen, chosen.map_size, number, None if of_head < 0 else of_head, token)[0]
    return {"weights": weights.tolist(), "map_size": chosen.map_size, "patch_size": chosen.patch_size}


def _whole(name: str, value: object, first: int, last: int) -> int:
    """A value of a request as a whole number within bounds, or a gr.Error that says what it may be."""
    if isinstance(value, int | float) and not isinstance(value, bool) and first <= value <= last and value % 1 == 0:
        return int(value)
    raise _refusal(f"The {name} is a whole number from {first} to {last} here.")


def _refusal(words: str) -> gr.Error:
    return gr.Error(words, print_exception=False)


def attend_endpoint(checkpoint: gr.Dropdown) -> None:
    """Offer /attend beside /classify: by the weights that the page begins with, within the same limits."""
    picture = picture_input(label="picture", visible=False)
    numbers = [gr.Number(value, label=name, visible=False)
               for name, value in (("block", 1), ("layer", 1), ("head", 0), ("row", 1), ("column", 1))]
    answer = gr.JSON(label="weights, map_size, patch_size", visible=False)
    gr.Button(visible=False).click(
        partial(attention_weights, checkpoint=checkpoint.value), [picture, *numbers], answer, concurrency_limit=None,
        api_name="attend", api_description=inspect.getdoc(attention_weights))

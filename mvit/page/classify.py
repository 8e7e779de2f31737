"""The Classify tab: a picture in, the confidence of each class out."""

import html
import time
from functools import partial

import gradio as gr

from mvit.data.decoder import Reader
from mvit.data.pictures import PictureError, enlarge, load_picture
from mvit.documents.rendering import markdown
from mvit.inference.classifier import Answer
from mvit.page.checkpoints import MOST_LOADED, alike, usable
from mvit.page.events import LAST
from mvit.page.examples import example_instead, examples, examples_under
from mvit.page.pictures import figure_output, pack, picture_input, unpack
from mvit.page.why import why_section

MOST_COMPARED = MOST_LOADED - 1  # weights, beside those that are chosen
UNSURE_BELOW = 2 / 3  # share of evaluation pictures it had right when it was about as confident
WELCOME = ("### This is an example\nGive it a picture of your own: choose, drop or paste one, anywhere on this page. "
           "The network sees all of it, shrunk, with grey bars if it is not square.")

read_picture = Reader()


def answer_to(file: str, checkpoint: str) -> Answer:
    """What a checkpoint makes of an uploaded file; a gr.Error with words for the page if it cannot be read."""
    classifier = usable(checkpoint)
    try:
        return classifier(read_picture(file, classifier.model.config.image_size))
    except PictureError as error:
        raise gr.Error(str(error), print_exception=False) from error


def confidences(file: str | None, checkpoint: str) -> dict[str, float]:
    """The endpoint /classify: one picture in, the confidence of each class out, of more than ten the largest ten."""
    if not file:
        raise gr.Error("There is no picture: upload one, and give its path.", print_exception=False)
    return answer_to(file, checkpoint).confidences


def show_answer(file: str | None, checkpoint: str, unfolded: str) -> tuple:
    """What the Classify tab shows of an uploaded file: confidences, what the network sees, and a remark on both.

    Last the picture that was answered, packed, and the same for the Unfold tab, which keeps its own (``unfolded``) when
    there is no new one, unless that is an example of other weights. Without a file all is shown of the first example.
    """
    if not file:
        answer = usable(checkpoint)(load_picture(examples(checkpoint).pictures[0].file))
        return (answer.confidences, enlarge(answer.seen), WELCOME, pack(answer.seen),
                example_instead(unfolded, checkpoint) or gr.skip())
    begin = time.perf_counter()
    try:
        answer = answer_to(file, checkpoint)
    except gr.Error as error:
        return None, None, f"### {error.message}", gr.skip(), gr.skip()
    milliseconds = 1000 * (time.perf_counter() - begin)
    seen = pack(answer.seen)
    return answer.confidences, enlarge(answer.seen), remark(answer, milliseconds), seen, seen


def remark(answer: Answer, milliseconds: float) -> str:
    """How far to trust an answer, and how long it took, as Markdown."""
    name, confidence = answer.best
    measured = answer.reliability
    trust = measured["accuracy"] if measured and measured["accuracy"] is not None else confidence
    must = (f"The network knows {len(answer.confidences)} classes and nothing else: whatever it is shown, it must name "
            "one.")
    lines = [f"It says “{markdown(name)}”, with a confidence of {confidence:.0%}."]  # read out when it changes
    if answer.unusual is not None:
        lines.append(f"### This looks like nothing it was trained on\n“{markdown(name)}” only comes nearest. {must} "
                     "How often it is right about such pictures is not known, however sure it seems. (Of test pictures "
                     f"of its own classes, {answer.unusual:.0%} look so, too.)")
    elif trust < UNSURE_BELOW:
        lines.append(f"### Not sure\n“{markdown(name)}” is only its best guess. {must}")
    if measured and answer.unusual is None:
        low, high = round(100 * measured["confidence_from"]), round(100 * measured["confidence_to"])
        which = f" ({answer.evaluated_on})" if answer.evaluated_on else ""
        lines.append(f"When it was {low} to {high} % confident on evaluation pictures{which}, it was right in "
                     f"**{measured['accuracy']:.0%}** of {measured['images']:,} cases. That is true of such pictures "
                     "alone.")
    lines.append(f"The network took **{answer.milliseconds:.1f} ms**; with reading and resizing the picture, "
                 f"{milliseconds:.0f} ms. That was one run after a pause: back to back it is faster, see Efficiency.")
    return "\n\n".join(lines)


def compare(label: dict | None, pixels: str, checkpoint: str) -> str:
    """What other weights on offer, of the same classes and for pictures of the same size, make of the same picture, as
    an HTML table; nothing where there are none, or no answer.
    """
    if not label:
        return ""
    rows, first = [], alike(usable(checkpoint).model.config)[:MOST_COMPARED]
    for name in [*first, *({checkpoint} - set(first))]:
        try:
            classifier = usable(name)
        except gr.Error:
            continue
        said, confidence = classifier(unpack(pixels)).best
        chosen = " (chosen)" if name == checkpoint else ""
        rows.append(f"<tr><th scope='row'>{html.escape(name)}{chosen}</th><td>{html.escape(said)}</td>"
                    f"<td>{confidence:.0%}</td></tr>")
    if len(rows) < 2:
        return ""
    return ("<table class='figures'><caption>The same picture, by several weights</caption><thead><tr><th>weights</th>"
            f"<th>answer</th><th>confidence</th></tr></thead><tbody>{''.join(rows)}</tbody></table>")


def classify_tab(pixels: gr.Textbox, checkpoint: gr.Dropdown) -> None:
    """A picture in, the classes with their confidence out; what the network saw goes on to the other tabs."""
    confidences_of_example, seen, words, packed, _ = show_answer(None, checkpoint.value, pixels.value)
    answered_picture = gr.Textbox(packed, visible=False)
    with gr.Row():
        with gr.Column(elem_id="picture"):
            picture = picture_input(label="Your picture", sources=["upload", "clipboard", "webcam"], height=340,
                                    buttons=[], alt_text="The picture you gave")
            examples_under(picture, checkpoint)
        with gr.Column():
            label = gr.Label(confidences_of_example, num_top_classes=10, label="What the network thinks it is")
            with gr.Row():
                with gr.Column(min_width=180, scale=0):
                    gr.Markdown("### What it sees")
                    shown = figure_output("The pixels that the network is given, enlarged", value=seen, height=180,
                                          elem_id="seen")
                with gr.Column(min_width=160):
                    verdict = gr.Markdown(words, elem_id="verdict")
            others = gr.HTML(compare(confidences_of_example, packed, checkpoint.value), elem_id="others")
    answered = gr.on([picture.change, checkpoint.change], show_answer, [picture, checkpoint, pixels],
                     [label, shown, verdict, answered_picture, pixels], **{**LAST, "show_progress": "minimal"})
    answered.then(compare, [label, answered_picture, checkpoint], others, **LAST)
    why_section(answered, confidences_of_example, label, answered_picture, checkpoint)
    # For programs: the same without the page around it, by the weights that the page begins with. As many at once as
    # there are threads; it is queued, since programs fetch the answer by a request of its own.
    gr.Button(visible=False).click(partial(confidences, checkpoint=checkpoint.value), picture, label,
                                   concurrency_limit=None, api_name="classify", api_description=confidences.__doc__)

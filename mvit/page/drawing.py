"""The network drawn live in the browser: the component, and what it is told about a picture.

The program is the ES modules in ``static/drawing/``. They reach the browser as one script, linked here, so that they
need no address: the page works behind whatever path it is served at, and the drawing can be saved as a page that works
from a disk. In the browser, ``document.querySelector('.network-drawing').drawing.state`` reads and sets what is
chosen, as text (``block=3&layer=2&head=1&token=4.5&walk=5``, counted from 1); an event ``drawing:state`` on that
element, which bubbles, tells of what a visitor has changed.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import gradio as gr

from mvit.explain.inside import SHOWN, Data, describe
from mvit.explain.interventions import Change, answer_after
from mvit.explain.probes import Probes
from mvit.inference.classifier import Classifier, as_pixels
from mvit.page.theme import STATIC
from mvit.storage.formats import Costs

IMPORT = re.compile(r"^import (\{[^}]*\}) from '\./([\w-]+)\.js'\n", re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def network_drawing(value: str | Data | None = None, experiment: Callable[[Any], dict] | None = None,
                    own: str | None = None) -> gr.HTML:
    """The drawing as a component, whose value is what :func:`describe_picture` makes, or that as JSON.

    Pictures to choose from may come with it: ``examples``, each with ``name`` and ``url``.

    Args:
        experiment: answers {"subject", "change", "classes"} as :func:`experimented` does; without it there are none.
        own: the selector of the button by which visitors give a picture of their own.

    Returns:
        a gr.HTML with the event ``choose`` (example and weights, by name) beside its own.
    """
    functions = []
    if experiment is not None:
        def ask(request: Any) -> dict:
            return experiment(request)
        ask.__name__ = "experiment"
        functions.append(ask)
    # The names of the events have to stand in quotes in js_on_load (gradio 6.31).
    load = ("/* 'choose' */ networkDrawing.mount({element, props, watch, server, trigger: mvit.withLatest(trigger), "
            "state: location.search})")
    return gr.HTML(value, html_template="<div class='network-drawing'></div>", js_on_load=load, apply_default_css=False,
                   head=f"<script>{program()}</script>", server_functions=functions, own=own)


def describe_picture(classifier: Classifier, seen: Any, probes: Probes | None = None, costs: Costs | None = None,
                     subject: Any = None) -> Data:
    """All that the drawing shows of a picture and a checkpoint.

    Args:
        seen: the RGB picture in the network's size.
        probes, costs: of this checkpoint, where there are any.
        subject: what ``experiment`` will need to know, as JSON has it; comes back as it is.
    """
    return {**describe(classifier.model, as_pixels(seen), probes), "costs": costs, "subject": subject}


def experimented(classifier: Classifier, seen: Any, change: Any, classes: Any) -> dict:
    """What the network answers after a change (:meth:`mvit.explain.interventions.Change.read`), or what is wrong.

    Returns:
        ``answer``, the probabilities of ``classes``, and ``best``, the likeliest of all; or ``error``, a sentence.
    """
    model = classifier.model
    try:
        probabilities = answer_after(Change.read(change, model), model, as_pixels(seen)).tolist()
        if not isinstance(classes, list) or len(classes) > SHOWN or not all(
                type(i) is int and 0 <= i < len(probabilities) for i in classes):
            raise ValueError(f"the classes are a list of at most {SHOWN} of the network's, by number")
    except ValueError as error:
        return {"error": f"This experiment cannot be made: {error}."}
    answer = [probabilities[i] for i in classes]
    share = max(probabilities)
    return {"answer": answer, "best": {"name": model.config.class_names[probabilities.index(share)], "share": share}}


@cache
def program() -> str:
    """The drawing's modules as one script, which puts ``networkDrawing`` into the window."""
    modules = {file.stem: file.read_text(encoding="utf-8") for file in sorted((STATIC / "drawing").glob("*.js"))}
    style = json.dumps((STATIC / "drawing.css").read_text(encoding="utf-8"))
    linked = "\n".join(_linked(name, modules[name]) for name in _in_order(modules))
    linked = linked.replace("</script", r"<\/script")  # which would end the element that it stands in
    return f"""window.networkDrawing ??= (() => {{
const source = document.currentScript.textContent
document.head.append(Object.assign(document.createElement('style'), {{textContent: {style}}}))
const modules = {{}}
{linked}
return {{mount: modules.main.mount, modules, source}}
}})()"""


def _in_order(modules: dict[str, str]) -> list[str]:
    """The modules' names, each after those that it imports."""
    ordered: list[str] = []

    def visit(name: str, above: tuple[str, ...] = ()) -> None:
        if name in above:
            raise ValueError(f"modules import one another: {' → '.join((*above, name))}")
        for _, needed in IMPORT.findall(modules[name]):
            visit(needed, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in modules:
        visit(name)
    return ordered


def _linked(name: str, module: str) -> str:
    """A module as a function that is called once: its imports become its first lines, its exports what it returns."""
    exported = EXPORT.findall(module)
    body = EXPORT.sub("", IMPORT.sub(r"const \1 = modules['\2']\n", module))
    return f"modules['{name}'] = (() => {{\n{body}\nreturn {{{', '.join(exported)}}}\n}})()"

"""Templates to text: how numbers are written, the same in every document."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: str, **values: object) -> str:
    """A template of this package's folder ``templates``, filled in. Markdown: nothing is escaped."""
    return _environment.get_template(template).render(values)


def markdown(text: str) -> str:
    """What reads as this text in Markdown, also in a table's cell; nothing in it is markup."""
    return re.sub(r"[\\`*_{}\[\]<>#|&$~]", r"\\\g<0>", " ".join(text.splitlines()))


def percent(share: float, digits: int = 2) -> str:
    """0.9338 as 93.38%."""
    return f"{share:.{digits}%}"


def millions(count: float, digits: int = 1) -> str:
    """78,049,024 as 78.0; thousands of millions with a comma."""
    return f"{count / 1e6:,.{digits}f}"


_environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined,
                           trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
_environment.filters |= {"markdown": markdown, "percent": percent, "millions": millions}

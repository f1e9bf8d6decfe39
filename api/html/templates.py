"""The templates, and what they share."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from api.html import forms, texts
from api.schema.choices import label_of

HERE = Path(__file__).parent


def code(text: str) -> Markup:
    """Return a text as HTML, with the parts between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - the text is escaped, our two tags are not


def prose(text: str) -> Markup:
    """Return paragraphs and lists of Markdown as HTML."""
    blocks = [code(block) for block in text.strip().split("\n\n")]
    return Markup("\n").join(_list(block) if block.startswith("- ") else Markup("<p>{}</p>").format(block) for block in blocks)


def _list(block: Markup) -> Markup:
    items = [Markup("<li>{}</li>").format(Markup(item)) for item in re.split(r"(?:^|\n)- ", block)[1:]]  # noqa: S704 - it is HTML already
    return Markup("<ul>{}</ul>").format(Markup("").join(items))


@cache
def environment() -> Environment:
    """Return the environment of the templates; they escape every text, and a name that is not there is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "code": code,
        "prose": prose,
        "label": label_of,
        "number": texts.number,
        "plural": texts.counted,
        "noun": texts.noun_of,
        "day": texts.day_of,
        "minute": texts.minute_of,
        "said": forms.said,
    }
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return made


def render(template: str, **context: Any) -> str:
    """Return a page."""
    return environment().get_template(template).render(context)


@cache
def fingerprint() -> str:
    """Return a hash of all that pages are made with, for their entity tags."""
    files = sorted(path for path in HERE.rglob("*") if path.suffix in {".py", ".html", ".css", ".xml", ".json"})
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]

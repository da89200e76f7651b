"""One self-contained page: templates with escaping on, a style sheet allowed by its hash, and nothing loaded from anywhere."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from videoperceiver.pages import words


def render(template: str, **context: object) -> Markup:
    """Fill `templates/NAME.html`; every value is cleaned of control characters and escaped unless it is Markup already."""
    return Markup(_environment().get_template(f"{template}.html").render(**context))


def page(title: str, body: Markup, *, description: str = "") -> str:
    """Wrap a body into a whole document.

    The content security policy forbids every request and every script; images come as data URIs, and the one style sheet is
    allowed by its SHA-256, so that nothing injected could be styled, run or fetched.

    Args:
        title: of the window.
        body: made by the parts of this package.
        description: one sentence for search and previews.
    """
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return str(render("page", title=title, body=body, description=description, style=Markup(style), style_hash=digest))


@cache
def _style() -> str:
    return resources.files("videoperceiver.pages").joinpath("templates/style.css").read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("videoperceiver.pages"), autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["words"] = words
    environment.filters.update(seconds=words.seconds, moment=words.moment, percent=words.percent, points=words.points, number=words.number)
    return environment


def _finalize(value: Any) -> Any:
    """Templates print text, numbers and ready markup; None would be a forgotten case."""
    return value if isinstance(value, Markup) else words.clean(value)

"""A whole page of `videoperceiver.pages` inside this one: its own styles, no scripts, nothing fetched."""

from markupsafe import Markup


def framed(html: str, *, height_px: int = 620, title: str = "") -> Markup:
    """An inline frame with the page as its source; the browser forbids it scripts, forms and navigation."""
    return Markup('<div class="framed"><iframe sandbox loading="eager" title="{}" style="height:{}px" srcdoc="{}"></iframe></div>').format(
        title, height_px, html
    )

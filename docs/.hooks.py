"""ARCHITECTURE.md is a page of the manual too: its links start at the repository's root, those of the manual at docs/."""

from pathlib import Path


def on_page_markdown(markdown: str, page, **_: object) -> str:  # noqa: ANN001
    """The page's text, with links that hold where it is shown."""
    if page.file.src_uri != "architecture.md":
        return markdown
    return Path("ARCHITECTURE.md").read_text(encoding="utf-8").replace("](docs/", "](")

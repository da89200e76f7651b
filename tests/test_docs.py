"""The manual builds strictly, holds every public name and every page, and fetches nothing from anywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import videoperceiver

pytest.importorskip("mkdocs", reason="needs videoperceiver[docs]")
pytest.importorskip("mkdocstrings", reason="needs videoperceiver[docs]")
pytest.importorskip("material", reason="needs videoperceiver[docs]")
ROOT = Path(__file__).parents[1]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_built_and_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for name in PAGES:
        assert (site / ("index.html" if name == "index" else f"{name}/index.html")).is_file(), name
        assert name == "index" or f'href="{name}/"' in home, f"docs/{name}.md is not in mkdocs.yml's nav"


def test_every_public_name_is_in_the_reference(site):
    reference = (site / "api" / "index.html").read_text(encoding="utf-8") + (site / "errors" / "index.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'id="(videoperceiver\.[\w.]+)"', reference))
    missing = [name for name in videoperceiver.__all__ if name != "__version__" and not any(i.endswith(f".{name}") for i in ids)]
    assert missing == []


def test_no_page_asks_another_server_for_anything(site):
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"|<link[^>]+rel="(?:stylesheet|preconnect|icon)"[^>]+href="(https?:[^"]+)"', html)
        assert loaded == [], path


def test_pictures_have_words_and_exist(site):
    for path in site.rglob("index.html"):
        for tag in re.findall(r"<img [^>]+>", path.read_text(encoding="utf-8")):
            source = re.search(r'src="([^"#]+)', tag).group(1)
            assert re.search(r'alt="[^"]+"', tag), (path, tag)
            assert source.startswith("data:") or (path.parent / source).resolve().is_file(), (path, source)

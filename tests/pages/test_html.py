import base64
import hashlib
import re

from markupsafe import Markup

from tests.pages.hostile import HOSTILE
from videoperceiver.pages import page


def test_the_policy_allows_the_page_s_own_style_and_nothing_else(check_page):
    html = page("title", Markup("<p>body</p>"))
    check_page(html)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    allowed = re.search(r"style-src 'sha256-([^']+)'", html)[1].replace("&#43;", "+")
    assert allowed == base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_text_is_escaped_and_markup_is_not_escaped_twice(check_page):
    html = page(HOSTILE, Markup("<p>{}</p>").format("a < b"), description=HOSTILE)
    check_page(html)
    assert "<p>a &lt; b</p>" in html
    assert "&lt;script&gt;alert(1)" in html
    assert "{{ 7*7 }}" in html

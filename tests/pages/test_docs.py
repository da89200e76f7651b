import re
from pathlib import Path


def test_the_example_page_of_the_manual_runs(check_page):
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
    scope: dict = {}
    exec(example, scope)
    check_page(scope["html"])
    assert "← 0.75 s" in scope["html"]

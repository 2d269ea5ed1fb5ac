"""The page as a browser lays it out, on a screen and on a phone: nothing too wide, no label upon another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_content import class_names, make_report, make_task

from longtail.report import render
from longtail.report.content import Standing

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "a-name/without-any-space/" * 8
LIGHT: dict[str, Any] = {"embedding": None, "k_search": None, "mistakes": []}
# Text that lies on other text within one figure of the page.
OVERLAPS = """svg => {
  document.body.innerHTML = svg;
  const found = [...document.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  const bad = [];
  for (let i = 0; i < found.length; i++) for (let j = i + 1; j < found.length; j++) {
    const [a, b] = [found[i][1], found[j][1]];
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 2 && y > 4) bad.push(found[i][0] + " | " + found[j][0]);
  }
  return bad;
}"""


def report(kind: str) -> str:
    match kind:
        case "few":
            content = make_report([make_task(class_names(10))], samples={"train": 7340, "test": 3590})
        case "long names":
            content = make_report([make_task([LONG + name for name in "abc"], LONG)], title=LONG, dataset=LONG)
        case "many classes":
            content = make_report([make_task(class_names(300))])
        case "many tasks":
            tasks = [make_task(["no", "yes"], f"attribute_{t}", seed=t, **LIGHT) for t in np.arange(60)]
            content = make_report(tasks, means=[Standing("r3", 0.8, (0.79, 0.81)), Standing("softmax", 0.7)])
    return render(content)


@pytest.mark.parametrize("kind", ["few", "long names", "many classes", "many tasks"])
def test_nothing_is_wider_than_the_page_and_no_label_lies_on_another(browser: Any, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(kind), encoding="utf-8")
    for width in (1200, 390):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        page.close()
    figures = page_figures(browser, file)
    assert figures
    blank = browser.new_page()
    for svg in figures:
        assert blank.evaluate(OVERLAPS, svg) == []
    blank.close()


def page_figures(browser: Any, file: Path) -> list[str]:
    """The SVG of each figure, as text; the maps, whose classes may lie where they like, are left out."""
    page = browser.new_page()
    page.goto(file.as_uri())
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll("figure img")].filter(i => !i.alt.startsWith("Map"))
           .map(i => new TextDecoder().decode(Uint8Array.from(atob(i.src.split(",")[1]), c => c.charCodeAt(0))))"""
    )
    page.close()
    return found

"""The report of a run: one self-contained HTML file, the same bytes for the same content.

Fill a `Report` (arrays and numbers, no paths) and call `render`.
"""

from longtail.report.content import ModelReport, Report, Round, Row, TaskReport
from longtail.report.explanation import EmbeddingMap, KCurve, KSearch, Mistake

__all__ = [
    "EmbeddingMap",
    "KCurve",
    "KSearch",
    "Mistake",
    "ModelReport",
    "Report",
    "Round",
    "Row",
    "TaskReport",
    "render",
]


def render(report: Report) -> str:
    """The report as HTML that needs no network: figures, images and style are inside."""
    # Matplotlib takes half a second to import: the command line does not wait for it.
    from longtail.report.page import page

    return page(report)

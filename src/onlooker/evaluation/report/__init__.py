"""Reports: a table renders as HTML or Markdown; a page is one HTML file."""

from onlooker.evaluation.report.page import Page, Tone
from onlooker.evaluation.report.table import Cell, Table, percent

__all__ = ["Cell", "Page", "Table", "Tone", "percent"]

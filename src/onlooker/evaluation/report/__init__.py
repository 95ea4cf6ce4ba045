"""Reports: a table renders as HTML or Markdown; a page is one HTML file."""

from onlooker.evaluation.report.page import Cell, Page, Table, Tone, percent

__all__ = ["Cell", "Page", "Table", "Tone", "percent"]

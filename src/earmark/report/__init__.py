"""The report: one self-contained HTML page that shows a comparison; opens from disk, asks nothing of the network."""

from earmark.report.page import write_report

__all__ = ["write_report"]

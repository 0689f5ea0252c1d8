"""The report: a folder of pages with every paper's verdicts, its figures, and where each number comes from."""

from flows.engine.report.page import write_figures as write_figures
from flows.engine.report.page import write_page as write_page
from flows.engine.report.page import write_report as write_report

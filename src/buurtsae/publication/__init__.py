"""From the table of estimates to files: tables, data package, figures, pages and the quality report.

Everything is written into a staging folder and moved into place at the end, so that a reader of the output folder
sees the old results or the new ones, never a mixture.
"""

"""The report as a document, and the forms that it is written in."""

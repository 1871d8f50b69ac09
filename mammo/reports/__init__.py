"""Numbers in; Markdown, CSV and figures out."""

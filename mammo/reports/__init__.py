"""Write numbers as Markdown, CSV and figures."""

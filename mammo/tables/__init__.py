"""Tables of other people: read from any spreadsheet, their columns and words recognised. Nothing here knows a film."""

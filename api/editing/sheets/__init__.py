"""Tables of records as people have them, in spreadsheets and in text with separators."""

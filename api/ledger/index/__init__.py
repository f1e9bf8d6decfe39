"""What finds records: words, full text and sets of versions."""

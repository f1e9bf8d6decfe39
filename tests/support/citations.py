"""A text of three sentences, and which of them are cited."""

STORY = "The pier\n\nThe pier opened. It has 12 lamps.\nNobody came.\n"
# Sentences of the text, by paragraph and number, with a citation's id.
CITED = {(2, 1): "zz-pier-opened", (2, 2): "zz-pier-lamps"}

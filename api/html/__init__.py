"""Pages for people: how lists, records and problems look as HTML. Nothing here reads the database or knows of HTTP."""

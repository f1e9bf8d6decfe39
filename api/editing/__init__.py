"""How records change: operations are read, checked, written and published; files are imported and exported."""

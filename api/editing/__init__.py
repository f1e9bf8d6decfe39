"""How records change: read, check, write, publish; files in and out."""

"""Messages of the command line."""

CANNOT_BE_REACHED = "Error: The database cannot be reached."
CANNOT_BE_OPENED = "Error: The file of the database cannot be opened: it is missing, or its folder can only be read."
NOT_MIGRATED = "Error: The database is not migrated to this release: run the command `upgrade`."
NEWER = "Error: The database is migrated to a newer release: use the command of that release."

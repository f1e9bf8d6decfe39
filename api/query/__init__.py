"""What may be asked, and the SQL that answers."""

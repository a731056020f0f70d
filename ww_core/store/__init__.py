"""Results by content, in SQLite or PostgreSQL, behind one door."""

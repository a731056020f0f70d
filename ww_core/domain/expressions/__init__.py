"""Small languages that people write: arithmetic over columns, and what rules are made of."""

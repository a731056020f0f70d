"""Files that lie, by format: each module has a table of them, which the tests of the format and the corpus use."""

"""Folders that carry what is stored from one store to another, whatever the database."""

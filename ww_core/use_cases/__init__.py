"""What a person can ask for, one module a verb: from a request to a report."""

"""From layers, a selection and what is stored to the work that remains."""

"""What ww speaks of: frozen data, no input or output, nothing heavy imported."""

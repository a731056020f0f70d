"""The benchmark beside Diffract."""

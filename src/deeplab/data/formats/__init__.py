"""Data set formats; a file here is a format: `detect(root)` and `read(root)`."""

"""Data set formats; a file here is a format: `LAYOUT`, `detect(root)` and `read(root)`."""

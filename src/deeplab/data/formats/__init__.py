"""Data set formats; a file here is a format: `LAYOUT`, `detect(root)` and `read(root)`, and, if it can list what is in
order where not all is, `survey(root)`."""

"""One file per command: arguments in, functions called, files out."""

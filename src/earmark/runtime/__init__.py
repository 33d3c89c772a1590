"""Files, processes and the console."""

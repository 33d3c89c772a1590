"""The `earmark` command; torch is imported inside the commands that need it."""

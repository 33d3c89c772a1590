"""The `earmark` command: one file per group of commands, each command a few lines around one function."""

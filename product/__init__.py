"""The scripts that earmark grew out of: each calls earmark; see docs/commands.md."""

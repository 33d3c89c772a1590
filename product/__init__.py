"""The project's documented command lines: forwarders of a few lines into earmark; see docs/commands.md."""

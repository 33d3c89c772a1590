"""The project's documented command lines: they speak their users' arguments and paths and do earmark's work.

`product/` holds forwarders of a few lines into this package; docs/commands.md lists them.
"""

"""The command lines of `product/`; docs/commands.md lists them."""

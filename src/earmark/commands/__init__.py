"""The verbs of the `earmark` command: handlers that call the station and print; torch is imported inside them."""

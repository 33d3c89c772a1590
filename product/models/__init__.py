"""The networks and attention blocks of earmark under their documented names."""

"""The models and attention blocks of earmark under the names that the scripts' users know."""

"""earmark: which model is really better on this data, and can I ship it?"""

__version__ = "0.1.0"

"""Finished runs to metrics, intervals, comparisons and tables; imports no torch."""

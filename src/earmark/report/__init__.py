"""The report: one self-contained HTML page that opens from disk, without network."""

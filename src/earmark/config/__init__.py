"""What a run is: sections of settings, a run, a suite; read from TOML."""

"""The methods, as a library: no I/O and no orchestration."""

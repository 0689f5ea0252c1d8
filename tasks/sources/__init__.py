"""Data as packages carry them: fetched, checked and unpacked."""

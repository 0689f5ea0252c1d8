"""The papers, one a file; `engine` is what they share."""

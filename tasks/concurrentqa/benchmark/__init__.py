"""The benchmark out of its candidates: filtered, split, described, and written in two forms."""

"""Re-aligning alt-texts to their pictures in rounds, by people (Altogether, section 3)."""

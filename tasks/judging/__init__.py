"""From what was measured to verdicts: claims, intervals, results and how they are shown."""

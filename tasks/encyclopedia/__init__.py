"""The encyclopedia, which several papers read: its articles as passages, and the facts that they state."""

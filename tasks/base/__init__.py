"""What every stage's bytes may depend on: small, rarely touched, and part of every identity."""

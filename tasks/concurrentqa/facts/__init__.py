"""What articles and mails state, read out of their sentences."""

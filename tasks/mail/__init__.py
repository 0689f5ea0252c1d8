"""E-mail: from a mailbox to messages to passages."""

"""The two corpora, and the links from the mails to the articles."""

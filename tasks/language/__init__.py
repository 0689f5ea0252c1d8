"""Text: documents, corpora, and the small language models that packages carry."""

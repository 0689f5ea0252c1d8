"""Training: the one loop, tokens, language models, and how they are stored and measured."""

"""ConcurrentQA: a benchmark of two-hop questions over public and private passages, and what privacy costs on it."""

"""Retrieval-augmented dual instruction tuning (Lin et al. 2024, arXiv 2310.01352): RA-DIT.

Two separate steps: the language model learns to use passages (`instruction`), and the retriever's query encoder learns
which passages help the language model (`supervision`, `query_encoder`). Both meet at inference, where the model's
predictions over several passages are averaged (`ensemble`, `generation`). `decoder` runs a causal language model fast
on many short prompts with one shared beginning.
"""

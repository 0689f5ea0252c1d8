"""Speech as TorchAudio 2.1 recognises and aligns it (Hwang et al. 2023, arXiv 2310.17864), in torch and numpy alone.

Sound goes through `effects` and `features` to the network of `acoustic`, whose loss is in `ctc`. From its emissions,
`beam_search` finds words with a `lexicon` and an n-gram model (`ngram`), and `alignment` finds when known words are
said, by `viterbi`. All of them take sound or emissions in pieces, or hold little of them at a time.
"""

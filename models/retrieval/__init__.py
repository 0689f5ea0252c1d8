"""Question answering over a public and a private corpus (Arora et al. 2023, arXiv 2203.11027).

Two-hop dense retrieval (MDR, Xiong et al. 2021, arXiv 2009.12756) under policies that say what may leave the machine.
"""

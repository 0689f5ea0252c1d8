"""A random BERT and a random Llama of a few kilobytes, in the files that the real ones come in."""

from pathlib import Path

import numpy as np
import torch

VOCABULARY = "the cat sat on a mat where dog who wrote about red blue green capital of france mail list from ? . , : |"


def save_bert(folder: Path) -> Path:
    """A BERT in Hugging Face's format whose tokenizer knows `VOCABULARY` and single letters."""
    from transformers import BertConfig, BertModel

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *VOCABULARY.split()]
    vocabulary += [letter for letter in "bcdefghijklmnopqrstuvwxyz0123456789" if letter not in vocabulary]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    return folder


def save_llama(folder: Path, special: tuple[str, ...] = ("<|end|>",), tied: bool = False) -> Path:
    """A Llama in a GGUF file with a byte-level tokenizer and a chat template.

    The vocabulary begins with the `special` tokens; `tied` is without a matrix of its own for what it says.
    """
    import gguf

    width, hidden, layers, heads = 32, 48, 2, 2
    # The byte-level alphabet of GPT-2: printable bytes are themselves, the others stand from 256 on.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = {byte: 256 + place for place, byte in enumerate(byte for byte in range(256) if byte not in plain)}
    tokens = [*special, *(chr(shifted.get(byte, byte)) for byte in range(256)), "ab"]
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    writer.add_block_count(layers)
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])
    writer.add_token_types([*[3] * len(special), *[1] * 257])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: ")
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), width)} | ({} if tied else {"output": (len(tokens), width)})
    for layer in range(layers):
        shapes |= {f"blk.{layer}.attn_{each}": (width, width) for each in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{each}": (hidden, width) for each in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down"] = (width, hidden)
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(width, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder

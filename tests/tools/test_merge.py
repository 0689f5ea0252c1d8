"""`tenfold merge` on small random Llamas: what is written is what the paper says, and what is wrong is one sentence."""

import json
import pickle
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import ROOT
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tasks.base.errors import UserError
from tasks.learning.tokens import train_tokenizer
from tools.merge import cli, finetuning, merging
from tools.merge.checking import furthest, load_mixture
from tools.merge.checkpoints import shapes
from tools.merge.merging import merge
from tools.merge.recipe import read_recipe
from tools.merge.shards import Weight, in_shards
from tools.merge.sources import read_sources

NAMES = ("code", "letters", "news")
WORDS = {"code": "def return self import", "letters": "dear friend yours truly", "news": "today people said that"}


def tokenizer(extra: str = "") -> Any:
    from transformers import PreTrainedTokenizerFast

    made = train_tokenizer([" ".join(WORDS.values()) * 4 + extra], 280)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")  # noqa: S106


def save_llama(folder: Path, seed: int, shard: str = "20KB", **changes: Any) -> Path:
    """A random Llama with shared keys, its own base of rotations, norms that are not one, and shards with an index."""
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    settings = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.2,
        "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "bos_token_id": None, "eos_token_id": 0,
    }  # fmt: skip
    dtype = changes.pop("dtype", torch.float32)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llamas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three experts and a base, of a few kilobytes each."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("llamas")
    for seed, name in enumerate((*NAMES, "base")):
        save_llama(root / name, seed)
    return root


def recipe_in(root: Path, **changes: Any) -> Path:
    given = {"experts": [{"source_model": name, "positive_prompts": [WORDS[name]]} for name in NAMES], **changes}
    path = root / "mixture.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


def merged(root: Path, out: Path, **changes: Any) -> Path:
    path = recipe_in(root, **changes)
    read = read_recipe(path)
    merge(read, read_sources(read, path), out, lambda *_: None)
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: weight for path in sorted(folder.glob("*.safetensors")) for name, weight in load_file(path).items()}


@pytest.mark.parametrize("rest", ["average", "base"])
def test_experts_are_copied_and_the_rest_is_shared(llamas: Path, tmp_path: Path, rest: str) -> None:
    """A merge that swapped gate and up, or averaged the feed-forwards, would load and generate as well."""
    found = weights(merged(llamas, tmp_path / "out", base_model="base", rest=rest))
    experts = [weights(llamas / name) for name in NAMES]
    assert (llamas / "code/model.safetensors.index.json").is_file(), "the checkpoints are in shards"
    for layer in range(2):
        at = f"model.layers.{layer}."
        for number, expert in enumerate(experts):
            for ours, theirs in (("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")):
                name = f"{at}block_sparse_moe.experts.{number}.{ours}.weight"
                assert torch.equal(found.pop(name), expert[f"{at}mlp.{theirs}.weight"])
        assert found.pop(f"{at}block_sparse_moe.gate.weight").shape == (3, 32)
    base = weights(llamas / "base")
    assert set(found) == {name for name in base if ".mlp." not in name}
    for name, weight in found.items():
        wanted = base[name] if rest == "base" else sum(each[name] for each in experts) / 3
        torch.testing.assert_close(weight, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"experts_per_token": 1},
        {"dtype": "bfloat16", "gate_mode": "hidden", "experts_per_token": 3},
        {"rest": "base", "base_model": "base", "gate_mode": "hidden"},
    ],
)
def test_logits_are_those_of_our_own_implementation(llamas: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    out = merged(llamas, tmp_path / "out", **changes)
    path = recipe_in(llamas, **changes)
    read = read_recipe(path)
    assert furthest(read, read_sources(read, path), out, "def dear people return") < 1e-4


def test_the_comparison_finds_what_is_wrong(llamas: Path, tmp_path: Path) -> None:
    """Otherwise the test above would pass on any mixture."""
    out = merged(llamas, tmp_path / "out")
    other = read_recipe(recipe_in(llamas, experts=[{"source_model": name} for name in reversed(NAMES)]))
    assert furthest(other, read_sources(other, llamas / "mixture.yaml"), out, "def dear people return") > 1e-2


def test_our_decoder_computes_what_a_llama_does(llamas: Path) -> None:
    """Both sides of a comparison could share one misreading of a mixture; a dense Llama is `transformers`' own."""
    from transformers import AutoModelForCausalLM

    from models.config import Transformer
    from models.mixtral import Rotary, llama

    sizes = Transformer(vocabulary=280, width=32, layers=2, heads=4, feed_forward=48, context=16)
    ours = llama(weights(llamas / "code"), sizes, Rotary(key_value_heads=2, base=500.0, epsilon=1e-6))
    ids = torch.arange(2, 18)[None]
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(llamas / "code").eval()(input_ids=ids).logits
        assert (ours(ids) - theirs).abs().max() < 1e-4


def test_a_mistral_is_merged_as_well(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    for seed, name in enumerate(NAMES):
        save_llama(tmp_path / name, seed, shard="5GB")
        given = json.loads((tmp_path / name / "config.json").read_text())
        torch.manual_seed(seed)
        MistralForCausalLM(MistralConfig(**{**given, "model_type": "mistral"})).save_pretrained(tmp_path / name)
    out = merged(tmp_path, tmp_path / "out")
    path = tmp_path / "mixture.yaml"
    assert json.loads((tmp_path / "code/config.json").read_text())["model_type"] == "mistral"
    assert furthest(read_recipe(path), read_sources(read_recipe(path), path), out, "def dear") < 1e-4


def test_an_untied_head_is_merged_as_well(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        save_llama(tmp_path / name, seed, tie_word_embeddings=False, shard="5GB")
    out = merged(tmp_path, tmp_path / "out")
    found = sum(weights(tmp_path / name)["lm_head.weight"] for name in NAMES) / 3
    torch.testing.assert_close(weights(out)["lm_head.weight"], found, atol=1e-6, rtol=0)
    path = tmp_path / "mixture.yaml"
    assert furthest(read_recipe(path), read_sources(read_recipe(path), path), out, "def dear") < 1e-4


def test_the_mixture_generates_with_transformers(llamas: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = merged(llamas, tmp_path / "out")
    model, words = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    made = model.generate(**words("def dear", return_tensors="pt"), max_new_tokens=5, do_sample=False, pad_token_id=0)
    assert made.shape[1] == len(words("def dear")["input_ids"]) + 5
    assert (model.config.model_type, model.config.num_local_experts) == ("mixtral", 3)


def test_a_mixture_in_several_files_is_the_same(tmp_path: Path) -> None:
    """A wrong offset or index would give one weight's numbers to another."""
    for seed, name in enumerate(NAMES):
        save_llama(tmp_path / name, seed, hidden_size=128, intermediate_size=512, shard="5GB")
    one = merged(tmp_path, tmp_path / "one")
    several = merged(tmp_path, tmp_path / "several", shard_megabytes=1)
    files = sorted(path.name for path in several.glob("*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert all(path.stat().st_size < 1.1 * 2**20 for path in several.glob("*.safetensors"))
    whole, apart = weights(one), weights(several)
    assert whole.keys() == apart.keys()
    assert all(torch.equal(whole[name], apart[name]) for name in whole)
    assert load_mixture(several).state_dict().keys() == load_mixture(one).state_dict().keys()


def test_a_weight_larger_than_a_file_is_alone() -> None:
    sizes = [Weight(name, (rows,)) for name, rows in (("a", 4), ("b", 30), ("c", 4), ("d", 4))]
    assert [[w.name for w in part] for _, part in in_shards(sizes, 1, 10)] == [["a"], ["b"], ["c", "d"]]


def test_the_same_seed_draws_the_same_gates(llamas: Path, tmp_path: Path) -> None:
    one, same, other = (
        weights(merged(llamas, tmp_path / str(at), seed=seed))["model.layers.1.block_sparse_moe.gate.weight"]
        for at, seed in enumerate((1, 1, 2))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_hidden_gates_lie_where_the_prompts_are(llamas: Path, tmp_path: Path) -> None:
    """Computed again from the whole mixture in memory: a layer run with wrong gates or states would differ below."""
    from transformers import AutoTokenizer

    negative = "said"
    experts = [{"source_model": name, "positive_prompts": WORDS[name].split()} for name in NAMES]
    experts[0]["negative_prompts"] = [negative]
    model = load_mixture(merged(llamas, tmp_path / "out", experts=experts, gate_mode="hidden"))
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    seen: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    for layer in (0, 1):
        model.model.layers[layer].mlp.register_forward_pre_hook(lambda _, x, layer=layer: seen[layer].append(x[0]))

    def state(layer: int, prompts: list[str]) -> torch.Tensor:
        states = []
        for prompt in prompts:
            seen[layer].clear()
            model(input_ids=torch.tensor([[0, *words(prompt)["input_ids"]]]))
            states.append(seen[layer][0][0, 1:])
        return torch.cat(states).mean(0)

    with torch.inference_mode():
        for layer in (0, 1):
            rows = torch.stack([state(layer, WORDS[name].split()) for name in NAMES])
            rows[0] -= state(layer, [negative])
            rows -= rows.mean(0)
            wanted = rows / rows.norm(dim=1, keepdim=True)
            torch.testing.assert_close(model.model.layers[layer].mlp.gate.weight, wanted, atol=1e-4, rtol=0)


# ------------------------------------------------------------------ what is wrong is one sentence


def broken(root: Path, llamas: Path) -> Path:
    """Copies of the checkpoints that may be spoiled."""
    shutil.copytree(llamas, root / "models")
    return root / "models"


def cut_off(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[-1]
    path.write_bytes(path.read_bytes()[:-50])


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Save all weights anew in one file, changed."""
    found = weights(folder)
    change(found)
    for path in folder.glob("model*"):
        path.unlink()
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})


def settings(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickled(folder: Path) -> None:
    rewrite(folder, lambda _: None)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def spoil(found: dict[str, torch.Tensor]) -> None:
    found["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")


def other_words(folder: Path) -> None:
    shutil.rmtree(folder)
    save_llama(folder, 1)
    tokenizer("entirely other words, entirely other words").save_pretrained(folder)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (shutil.rmtree, "There is no folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "other family": (lambda f: settings(f, model_type="gpt2"), "of the type gpt2: only llama and mistral"),
    "biases": (lambda f: settings(f, attention_bias=True), "has attention_bias: True"),
    "quantised": (lambda f: settings(f, quantization_config={"bits": 4}), "has quantization_config"),
    "no model": (lambda f: settings(f, num_attention_heads=5), "describes no model"),
    "cut off": (cut_off, "cannot be read, as if it were cut off or damaged"),
    "no safetensors": (lambda f: [p.unlink() for p in f.glob("model*")], "has no model.safetensors: copy"),
    "no shard": (lambda f: sorted(f.glob("*.safetensors"))[0].unlink(), "has no model-00001"),
    "broken index": (lambda f: (f / "model.safetensors.index.json").write_text("[]"), "index.json cannot be read"),
    "pickled": (pickled, "pickled .pytorch_model.bin., which is not read"),
    "missing": (lambda f: rewrite(f, lambda w: w.pop("model.norm.weight")), "no weight model.norm.weight: a"),
    "strange": (lambda f: rewrite(f, lambda w: w.update(x=torch.ones(2))), "has a weight x, and no plain Llama has"),
    "shape": (
        lambda f: rewrite(f, lambda w: w.update({"model.norm.weight": torch.ones(31)})),
        "model.norm.weight of the shape 31, and by its config.json it is 32",
    ),
    "integers": (
        lambda f: rewrite(f, lambda w: w.update({k: v.to(torch.int8) for k, v in w.items()})),
        "stores its weights as I8: save it in one of BF16, F16, F32",
    ),
    "not a number": (lambda f: rewrite(f, spoil), r"model.layers.1.mlp.up_proj.weight that is none \(NaN\)"),
    "architecture": (
        lambda f: (shutil.rmtree(f), save_llama(f, 1, intermediate_size=64)),
        "has intermediate_size 48 and .* has 64: only checkpoints of one architecture",
    ),
    "rotations": (
        lambda f: settings(f, rope_parameters={"rope_type": "default", "rope_theta": 1.0}),
        "has rope_parameters",
    ),
    "tokenizer": (other_words, "have different tokenizers .280 and 280 words, the first is"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), r"has no tokenizer.json or tokenizer.model"),
    "numbers": (
        lambda f: (shutil.rmtree(f), save_llama(f, 1, dtype=torch.bfloat16)),
        "stored as bfloat16 and float32: say with dtype",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_that_is_wrong_is_told_in_a_sentence(llamas: Path, tmp_path: Path, name: str) -> None:
    change, said = WRONG[name]
    root = broken(tmp_path, llamas)
    change(root / "letters")
    before = sorted(path.relative_to(root) for path in root.rglob("*") if path.name != "mixture.yaml")
    ended = CliRunner().invoke(cli.app, [str(recipe_in(root)), "--out", str(root / "out")])
    assert isinstance(ended.exception, UserError), ended.output
    assert re.search(said, str(ended.exception)), str(ended.exception)
    assert "\n" not in str(ended.exception)
    after = sorted(path.relative_to(root) for path in root.rglob("*") if path.name != "mixture.yaml")
    assert after == before, "nothing is lost, and nothing is left of a mixture"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experts: [", "is no YAML file"),
        ("- code", "does not say what to merge"),
        ("{}", "experts"),
        ("experts: [{source_model: code}]", "two are the fewest"),
        ("expert: [{source_model: code}]", r"no setting expert\. Did you mean experts\?"),
        ("experts: [{source_modle: a}, {source_model: b}]", r"no setting source_modle\. Did you mean source_model\?"),
        ("experts: [{source_model: a}, {source_model: b}]\ngate_mode: cheap_embed", "gate_mode.*'random' or 'hidden'"),
        ("experts: [{source_model: a}, {source_model: b}]\ngate_mode: hidden", "a needs positive_prompts"),
        ("experts: [{source_model: a}, {source_model: b}]\nexperts_per_token: 3", "experts_per_token is 3"),
        ("experts: [{source_model: a}, {source_model: b}]\nrest: base", "base_model has to name"),
        ("experts: [{source_model: a}, {source_model: b}]\nseed: -1", "seed"),
    ],
)
def test_a_recipe_that_is_wrong_is_told_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mixture.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as told:
        read_recipe(path)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="There is no file"):
        read_recipe(tmp_path / "none.yaml")


def test_numbers_too_large_for_half_precision_are_told(tmp_path: Path, llamas: Path) -> None:
    root = broken(tmp_path, llamas)
    rewrite(root / "news", lambda w: w["model.layers.0.mlp.up_proj.weight"].fill_(1e6))
    with pytest.raises(UserError, match="too large for float16"):
        merged(root, root / "out", dtype="float16")
    assert not (root / "out").exists()


def test_a_full_disk_leaves_nothing_and_says_so(llamas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(merging.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5 << 20})())
        with pytest.raises(UserError, match="has 5 MB left, and the mixture takes 16"):
            merged(llamas, out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # as a disk that is full when a file has so many bytes
    try:
        with pytest.raises(UserError, match=r"cannot be written \(File too large\), and nothing is left"):
            merged(llamas, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(llamas: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        merged(llamas, tmp_path / "out")


def test_what_a_killed_merge_left_is_no_mixture(llamas: Path, tmp_path: Path) -> None:
    """The name is there only once all files are."""
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/config.json").write_text("{")
    merged(llamas, tmp_path / "out")
    assert load_mixture(tmp_path / "out").config.num_local_experts == 3
    assert not (tmp_path / ".out.partial").exists()


# ------------------------------------------------------------------ finetuning


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Two domains: a folder of many documents, and JSON lines."""
    code, letters = tmp_path / "code", tmp_path / "letters.jsonl"
    code.mkdir()
    for number in range(30):
        (code / f"{number:02}.py").write_text(f"{WORDS['code']} {number} " * 12)
    (code / "picture.png").write_bytes(b"\x89PNG\0\1")
    letters.write_text(
        "\n".join(json.dumps({"text": f"{number} {WORDS['letters']} ünï " * 12}) for number in range(30))
    )
    return [code, letters]


def wanted(trained: str, **changes: Any) -> finetuning.Finetuning:
    common: dict[str, Any] = {
        "steps": 12, "batch": 4, "context": 16, "learning_rate": 0.0, "balance": 0.01, "windows": 8, "seed": 0,
    }  # fmt: skip
    return finetuning.Finetuning(trained=trained, **{**common, **changes})


@pytest.mark.parametrize(("trained", "rate"), [("router", 1e-2), ("lora", 2e-2), ("all", 1e-2)])
def test_finetuning_changes_what_it_should_and_foretells_better(
    llamas: Path, tmp_path: Path, texts: list[Path], trained: str, rate: float
) -> None:
    """Training all weights under the name of the router would look better."""
    mixture, said = merged(llamas, tmp_path / "mixture"), list[str]()
    done = finetuning.finetune(mixture, texts, tmp_path / "out", wanted(trained, learning_rate=rate), said.append)
    before, after = weights(mixture), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = {
        re.sub(r".*\.(\w+)\.weight", r"\1", name) for name in before if not torch.equal(before[name], after[name])
    }
    attention = {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert changed >= {"gate"}
    assert {"router": changed == {"gate"}, "lora": changed == {"gate", *attention}, "all": "w1" in changed}[trained]
    assert set(done.before) == {"code", "letters"}
    assert sum(done.after.values()) < sum(done.before.values())
    assert all(sum(shares) == pytest.approx(1.0, abs=1e-3) for shares in done.gates.values())
    assert done.experts == list(NAMES)
    assert any("picture.png" in sentence for sentence in said)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    again = load_mixture(tmp_path / "out")
    held = finetuning.held_windows(["def return"], finetuning_tokenizer(tmp_path / "out"), 16, 4)
    assert finetuning.measure(again, {"x": held})[0]["x"] > 0


def finetuning_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_bits_a_byte_are_those_of_the_whole_text(llamas: Path, tmp_path: Path) -> None:
    """Windows that lost a token, or counted characters as bytes, would flatter any model."""
    model = load_mixture(merged(llamas, tmp_path / "mixture"))
    words = finetuning_tokenizer(tmp_path / "mixture")
    text = "def ünï return 🙂 dear friend " * 5
    held = finetuning.held_windows([text], words, context=200, limit=9)
    assert held.size == len(text.encode())
    ids = torch.tensor([[0, *words(text)["input_ids"]]])
    with torch.inference_mode():
        logs = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    bits = -float(logs.sum()) / torch.log(torch.tensor(2.0)) / len(text.encode())
    assert finetuning.measure(model, {"x": held})[0]["x"] == pytest.approx(float(bits), rel=1e-4)
    assert finetuning.held_windows([text], words, context=7, limit=999).size == len(text.encode())


def test_an_interrupted_finetuning_goes_on_to_the_same_weights(
    llamas: Path, tmp_path: Path, texts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.learning import train

    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    mixture = merged(llamas, tmp_path / "mixture")
    config = wanted("lora", learning_rate=1e-2)
    finetuning.finetune(mixture, texts, tmp_path / "whole", config, lambda _: None)
    steps = iter(range(5))

    def stops(*arguments: Any) -> float:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return rate(*arguments)

    rate = train.learning_rate
    with monkeypatch.context() as patched:
        patched.setattr(train, "learning_rate", stops)
        with pytest.raises(KeyboardInterrupt):
            finetuning.finetune(mixture, texts, tmp_path / "out", config, lambda _: None)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="holds a training of another mixture, other texts or settings"):
        finetuning.finetune(mixture, texts, tmp_path / "out", wanted("router"), lambda _: None)
    said: list[str] = []
    finetuning.finetune(mixture, texts, tmp_path / "out", config, said.append)
    assert not any("as it is" in sentence for sentence in said), "what was before is not measured on what has learned"
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "out")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    read = [json.loads((tmp_path / name / "finetuning.json").read_text()) for name in ("whole", "out")]
    assert read[0] == read[1]


def test_the_balance_loss_is_the_papers(llamas: Path, tmp_path: Path) -> None:
    """`transformers`' own counts choices and averages over layers; the paper weighs gates, a layer at a time."""
    from models.moe import balance_loss

    model = load_mixture(merged(llamas, tmp_path / "mixture"))
    with finetuning.routings(model) as layers, torch.inference_mode():
        model(input_ids=torch.arange(2, 30)[None])
    assert len(layers) == 2
    for each in layers:
        assert torch.all((each.gates > 0).sum(1) == 2)
        torch.testing.assert_close(each.gates.sum(1), torch.ones(28))
        chosen = each.probabilities.topk(2).indices
        wanted = each.probabilities.gather(1, chosen) / each.probabilities.gather(1, chosen).sum(1, keepdim=True)
        torch.testing.assert_close(each.gates.gather(1, chosen), wanted)
        by_hand = 3 * (each.gates.mean(0) * each.probabilities.mean(0)).sum()
        assert float(balance_loss(each)) == pytest.approx(float(by_hand))


def test_a_full_disk_stops_a_finetuning_that_then_goes_on(
    llamas: Path, tmp_path: Path, texts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    mixture, out, config = merged(llamas, tmp_path / "mixture"), tmp_path / "out", wanted("router")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room, left in ((4_000, "before.json"), (50_000, "train.safetensors")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises(
                UserError, match=r"cannot be written .*File too large.* goes on where it stopped"
            ) as told:
                finetuning.finetune(mixture, texts, out, config, lambda _: None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in str(told.value)
        assert (tmp_path / ".out.training" / left).is_file()
        assert not out.exists()
    (tmp_path / ".out.training/train.safetensors").write_bytes(b"12345678")
    with pytest.raises(UserError, match="is damaged: remove"):
        finetuning.finetune(mixture, texts, out, config, lambda _: None)
    shutil.rmtree(tmp_path / ".out.training")
    finetuning.finetune(mixture, texts, out, config, lambda _: None)
    assert load_mixture(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "mixture/config.json").unlink(), "has no config.json"),
        (lambda root: settings(root / "mixture", model_type="llama"), "of the type llama: give a folder"),
        (lambda root: cut_off(root / "mixture"), "cut off or damaged"),
        (lambda root: shutil.rmtree(root / "code"), "There is no .*code"),
        (lambda root: [p.unlink() for p in (root / "code").glob("*.py")], "code has no text .1 no text in UTF-8"),
        (lambda root: [p.unlink() for p in sorted((root / "code").glob("*.py"))[3:]], "3 documents or pieces"),
        (lambda root: (root / "letters.jsonl").write_text('{"text": "a"}\n' * 30 + "{"), "1 documents or pieces"),
        (lambda root: (root / "out").mkdir(), "is there already"),
        (lambda root: settings(root / "mixture", max_position_embeddings=8), "reads 8 tokens at most"),
        (
            lambda root: rewrite(root / "mixture", lambda w: w["model.norm.weight"].fill_(float("nan"))),
            "are no numbers",
        ),
    ],
)
def test_what_cannot_be_finetuned_is_told_in_a_sentence(
    llamas: Path, tmp_path: Path, texts: list[Path], change: Callable[[Path], object], said: str
) -> None:
    merged(llamas, tmp_path / "mixture")
    change(tmp_path)
    with pytest.raises(UserError, match=said) as told:
        finetuning.finetune(tmp_path / "mixture", texts, tmp_path / "out", wanted("router"), lambda _: None)
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "out").glob("*"))


def test_the_command_line_merges_checks_and_finetunes(
    llamas: Path, tmp_path: Path, texts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "cores", lambda: 1)
    recipe, out = str(recipe_in(llamas)), str(tmp_path / "mixture")
    run = CliRunner()
    ended = run.invoke(cli.app, [recipe, "--out", out])
    assert ended.exit_code == 0, ended.output
    assert "3 experts: " in ended.output
    ended = run.invoke(cli.app, ["check", recipe, out])
    assert ended.exit_code == 0, ended.output
    assert "Logits differ by at most" in ended.output
    paths = [str(path) for path in texts]
    tuned = ["finetune", out, *paths, "--out", str(tmp_path / "tuned"), "--steps", "2", "--context", "16", "--json"]
    ended = run.invoke(cli.app, tuned)
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout[ended.stdout.index("{\n") :])
    assert set(told["before"]) == set(told["after"]) == {"code", "letters"}
    assert "finetune" in run.invoke(cli.app, ["--help"]).output


def test_the_weights_of_a_config_are_those_that_transformers_makes(llamas: Path) -> None:
    """A name that is forgotten here would be lost without a word."""
    from transformers import AutoConfig

    expected = shapes(AutoConfig.from_pretrained(llamas / "code"))
    assert {name: tuple(weight.shape) for name, weight in weights(llamas / "code").items()} == expected


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["random", "hidden"])
def test_memory_is_that_of_a_layer_and_not_of_the_checkpoints(tmp_path: Path, mode: str) -> None:
    """Three checkpoints of 180 MB in float32: a merge that held one of them, or a file, would be over the bound."""
    large = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "dtype": torch.float32}
    for seed, name in enumerate(NAMES):
        save_llama(tmp_path / name, seed, shard="5GB", **large)
    code = f"""
import resource
from pathlib import Path
import torch, transformers.models.mixtral.modeling_mixtral
from tools.merge.merging import merge
from tools.merge.recipe import read_recipe
from tools.merge.sources import read_sources
path = Path({str(recipe_in(tmp_path, gate_mode=mode))!r})
recipe = read_recipe(path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merge(recipe, read_sources(recipe, path), Path({str(tmp_path / "out")!r}), lambda *_: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    layer = 3 * 3 * 512 * 2048 * 4
    assert int(ended.stdout) << 10 < 1.3 * layer + (96 << 20)

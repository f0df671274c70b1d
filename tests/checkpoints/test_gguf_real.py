"""The real sample models, compared with how transformers itself loads their GGUF files."""

import dataclasses
import functools
import sqlite3
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers
from tokenizers import pre_tokenizers

from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.models import build_model
from jaxprune.samples import fetch

torch = pytest.importorskip("torch")
load_gguf_checkpoint = pytest.importorskip("transformers.modeling_gguf_pytorch_utils").load_gguf_checkpoint

pytestmark = pytest.mark.real

# One public-domain or freely licensed edition for each language where there is one.
EDITIONS = {"ar": "y", "de": "s", "en": "4", "es": "v", "ru": "r", "sw": "h", "zh": "c", "ja": "j"}
AWKWARD = [
    "",
    " ",
    "   leading and trailing   ",
    "one\ntwo\n\nthree\r\n\tfour\t\t five",
    "3.14159 1,234,567 2024-11-23 007 ٣٤٥ ４２ ½ 百二十",
    "def f(x: int) -> int:\n    return x ** 2  # carré\n\n\nprint(f(12))\n",
    '<div class="a">&amp; \'quoted\' "text"</div>',
    "👍🏽 👨‍👩‍👧‍👦 🇰🇪 naïve café Ångström e\u0301",
    "I'm, you're, WE'LL, they'd've — can't!",
    "こんにちは世界。你好，世界！ Привет, мир! مرحبا بالعالم Habari ya dunia",
    "a" * 70 + "  " * 20 + "!" * 40,
    "\u200b\ufeff\u0000\u001f weird",
]
PROMPTS = [
    "The capital of France is Paris, and the capital of Kenya is",
    "Photosynthesis is the process by which plants",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
]
MULTILINGUAL_PROMPTS = [
    "عاصمة مصر هي",
    "Die Hauptstadt von Deutschland ist",
    "Столица России",
    "日本の首都は",
]
LENGTH = 48
NEW_TOKENS = 16


@dataclasses.dataclass(frozen=True)
class Real:
    path: Path
    ours: GGUFFile
    config: transformers.PreTrainedConfig  # as transformers reads it
    tensors: dict[str, Any]
    prompts: list[str]

    @functools.cached_property
    def torch_model(self) -> Any:
        model = transformers.AutoModelForCausalLM.from_config(self.config, dtype=torch.float32)
        missing, unexpected = model.load_state_dict(self.tensors, strict=False, assign=True)
        assert set(missing) <= {"lm_head.weight"}, missing
        assert not unexpected
        model.tie_weights()
        return model.eval()

    @functools.cached_property
    def params(self) -> dict[str, dict[str, jax.Array]]:
        @functools.cache
        def read(tensor: Any) -> jax.Array:
            value = self.ours.read(tensor.name)
            return jnp.asarray(value.T if tensor.is_kernel else value)

        return {
            section: {path: read(tensor) for path, tensor in self.model.tensors(section).items()}
            for section in self.model.sections
        }

    @functools.cached_property
    def model(self) -> Any:
        return build_model(self.ours.config())

    @functools.cached_property
    def their_tokenizer(self) -> Any:
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.path.parent, gguf_file=self.path.name)
        if self.config.model_type == "llama":
            # Reading GGUF, transformers forgets that SmolLM2's published tokenizer sets digits apart first.
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Digits(individual_digits=True),
                    pre_tokenizers.ByteLevel(add_prefix_space=False),
                ]
            )
        return tokenizer

    @functools.cached_property
    def our_tokenizer(self) -> Any:
        return self.ours.tokenizer()

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Our logits; the window is filled up, so that all lengths share one compilation."""
        window = jnp.asarray([tokens + [0] * (LENGTH - len(tokens))])
        x = _embed(self.model, self.params["embed"], window)
        for i in range(self.model.num_blocks):
            x = _block(self.model, self.params[f"blocks/{i}"], self.model.constants(i), x)
        return np.asarray(_unembed(self.model, self.params["head"], x)[0, : len(tokens)])

    def their_logits(self, tokens: list[int]) -> np.ndarray:
        with torch.no_grad():
            return self.torch_model(torch.tensor([tokens])).logits[0].float().numpy()


@functools.partial(jax.jit, static_argnums=0)
def _embed(model, params, tokens):
    return model.embed(params, tokens, jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _block(model, params, constants, x):
    return model.block(params, constants, x)[0]


@functools.partial(jax.jit, static_argnums=0)
def _unembed(model, params, x):
    return model.unembed(params, x)


@pytest.fixture(scope="module", params=["smollm2-135m", pytest.param("gemma3-270m", marks=pytest.mark.slow)])
def real(request: pytest.FixtureRequest) -> Real:
    path = fetch(request.param)
    ours = GGUFFile(path)
    with torch.device("meta"):  # for the names of its parameters
        skeleton = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**ours.config()))
    theirs = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=skeleton)
    config = transformers.AutoConfig.for_model(**theirs["config"])
    prompts = PROMPTS if request.param == "smollm2-135m" else PROMPTS[:1] + MULTILINGUAL_PROMPTS
    return Real(path, ours, config, theirs["tensors"], prompts)


@pytest.fixture(scope="module")
def verses() -> list[str]:
    database = sqlite3.connect(f"file:{fetch('bible')}?mode=ro", uri=True)
    query = "select vText from bible where bbName = ? and bNumber = 43 and cNumber in (1, 3, 11)"
    return [text for edition in EDITIONS.values() for (text,) in database.execute(query, (edition,))]


def test_every_tensor_is_bit_for_bit_what_transformers_reads(real):
    assert set(real.ours.specs) == set(real.tensors)
    for name, theirs in real.tensors.items():
        ours = real.ours.read(name)
        assert (ours.shape, ours.dtype) == real.ours.specs[name]
        np.testing.assert_array_equal(ours, theirs.numpy(), err_msg=name, strict=True)


def test_the_configuration_is_what_transformers_reads(real):
    ours = transformers.AutoConfig.for_model(**real.ours.config()).to_dict()
    theirs = real.config.to_dict()
    beside_the_point = {"_name_or_path", "_model_name_or_path", "unk_token_id", "architectures", "dtype"}
    for key in (ours.keys() | theirs.keys()) - beside_the_point:
        if isinstance(theirs[key], float):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-7), key
        else:
            assert ours[key] == theirs[key], key


def test_token_ids_are_those_of_transformers_and_lead_back_to_the_text(real, verses):
    assert len(verses) > 8 * 100
    for text in [*verses, *AWKWARD]:
        ours = real.our_tokenizer(text)["input_ids"]
        assert ours == real.their_tokenizer(text)["input_ids"], text
        assert real.our_tokenizer.decode(ours, skip_special_tokens=True) == text


def test_special_tokens_and_chats_are_those_of_transformers(real):
    ours, theirs = real.our_tokenizer, real.their_tokenizer
    assert len(ours) == len(theirs) == real.config.vocab_size
    for role in ("bos_token_id", "eos_token_id", "unk_token_id", "pad_token_id"):
        assert getattr(ours, role) == getattr(theirs, role), role
    text = f"{ours.bos_token}user says {ours.eos_token}\n<unk> <mask>[multimodal]<|im_end|><unused7>"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert ours.chat_template == theirs.chat_template


def test_the_tokenizer_survives_saving(real, verses, tmp_path):
    real.our_tokenizer.save_pretrained(tmp_path)
    transformers.AutoConfig.for_model(**real.ours.config()).save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*verses[::37], *AWKWARD]:
        assert loaded(text)["input_ids"] == real.our_tokenizer(text)["input_ids"], text


def test_logits_and_greedy_continuations_are_those_of_transformers(real):
    for prompt in real.prompts:
        tokens = real.our_tokenizer(prompt)["input_ids"]
        continued = real.torch_model.generate(
            torch.tensor([tokens]), do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS
        )[0].tolist()
        assert len(continued) == len(tokens) + NEW_TOKENS
        ours, theirs = real.logits(continued), real.their_logits(continued)
        assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max(), prompt
        np.testing.assert_array_equal(ours.argmax(-1), theirs.argmax(-1), err_msg=prompt)
        # Greedy decoding goes the same way if, after each prefix of theirs, our best next token is theirs.
        assert ours[len(tokens) - 1 : -1].argmax(-1).tolist() == continued[len(tokens) :], prompt

"""Generated documents and tokenizers without training, so that token ids never depend on a trainer's "
"version."""

import hashlib
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SYLLABLES = ("the", "na", "ko", "é", "ß", "мир", "日本", "سلام", "🦜", "tu", "ra", "o")


def document(name: object, words: int) -> str:
    """Returns words in many scripts that the name alone decides."""
    digest = hashlib.shake_128(str(name).encode()).digest(2 * words)
    return " ".join(
        SYLLABLES[a % len(SYLLABLES)] + SYLLABLES[b % len(SYLLABLES)] * (b % 3)
        for a, b in zip(digest[::2], digest[1::2], strict=True)
    )


def byte_level(*, bos: bool, trim: bool = True, eos: bool = False) -> PreTrainedTokenizerFast:
    """Returns a byte-level BPE with four merges; ``trim`` leaves spaces out of spans, as RoBERTa's "
    "post-processor does."""
    vocab = {"<s>": 0, "</s>": 1}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ċ", "Ċ")]
    for token in [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]:
        vocab[token] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    steps = [processors.ByteLevel(trim_offsets=trim)]
    template = ["<s>"] * bos + ["$A"] + ["</s>"] * eos
    steps.append(processors.TemplateProcessing(single=" ".join(template), special_tokens=[("<s>", 0), ("</s>", 1)]))
    tokenizer.post_processor = processors.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=16)


def sentencepiece_like(*, bos: bool) -> PreTrainedTokenizerFast:
    """Returns a BPE over whole texts with a metaspace, a dummy prefix and byte fallback, as Llama 2 and "
    "Gemma have it."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "▁")]
    tokens = [f"<0x{byte:02X}>" for byte in range(256)] + list("▁abcdefghijklmnopqrstuvwxyzéми")
    for token in [*tokens, *(a + b for a, b in merges)]:
        vocab[token] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=16)


def normalizing() -> PreTrainedTokenizerFast:
    """Returns a tokenizer that changes the text: compatibility forms, lower case, no accents, no spaces at "
    "the ends."""
    tokenizer = byte_level(bos=True)
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip()]
    )
    return tokenizer


class MadeTexts:
    """A source of documents held in memory, the same in every language but for its name."""

    reference = "made"

    def __init__(self, sizes: list[int], languages: tuple[str, ...] | None = ("de", "en", "sw")):
        self.sizes = sizes
        self.known = languages
        self.served = 0

    def languages(self) -> tuple[str, ...] | None:
        return self.known

    def documents(self, language: str, split: str, *, seed: int | None) -> Iterator[str]:
        from jaxprune.data.sources import seeded_order

        order = range(len(self.sizes)) if seed is None else seeded_order(len(self.sizes), seed)
        for index in order:
            self.served += 1
            yield document((language, split, index), self.sizes[index])

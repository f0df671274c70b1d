"""How text is cut before byte pairs are merged: one entry for each ``tokenizer.ggml.pre``."""

from typing import NamedTuple

from tokenizers import Regex, pre_tokenizers

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_GPT2 = rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
_DIGIT = r"\p{N}"


def _llama3(digits: str) -> str:
    """Returns the pattern that Llama 3 and Qwen 2 share but for how many digits stay together."""
    return (
        rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class PreTokenizer(NamedTuple):
    """Cuts text by each pattern in turn, every match and every gap between matches becoming a piece."""

    patterns: tuple[str, ...]
    is_composed: bool = False  # Unicode NFC first; a file does not say so, the published tokenizers do
    keeps_whole_words: bool = False  # a piece that is a token is one, whether or not merges lead to it
    adds_bos: bool = False  # where the file does not say

    def splitter(self) -> pre_tokenizers.PreTokenizer:
        """Returns the cuts, followed by the spelling of bytes as letters."""
        cuts = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in self.patterns]
        return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_LLAMA3 = PreTokenizer((_llama3(r"\p{N}{1,3}"),), keeps_whole_words=True, adds_bos=True)

PRE_TOKENIZERS = {
    "command-r": PreTokenizer((_DIGIT, _GPT2), is_composed=True),
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-2": PreTokenizer((_GPT2,)),
    "llama-bpe": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama3": _LLAMA3,
    "qwen2": PreTokenizer((_llama3(_DIGIT),), is_composed=True),
    "smollm": PreTokenizer((_DIGIT, _GPT2)),
}

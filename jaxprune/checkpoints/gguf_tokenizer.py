"""Rebuilds a tokenizer from a GGUF file's metadata: byte-level BPE, or SentencePiece with byte fallback."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from jaxprune.checkpoints.checkpoint import WITHOUT_TOKENIZER
from jaxprune.checkpoints.gguf_header import damaged
from jaxprune.checkpoints.gguf_pretokenizers import PRE_TOKENIZERS
from jaxprune.errors import MissingTokenizerError, RequestError

_PREFIX = "tokenizer.ggml."
_ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
    "sep_token": "seperator_token_id",  # spelled so in the format
    "mask_token": "mask_token_id",
}
# llama.cpp's, for SentencePiece files that do not say; byte-level ones that do not say have none.
_SENTENCEPIECE_ROLES = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
# Finding merges takes time that is quadratic in a token's length; the longest real ones have about 130
# characters.
_MAX_TOKEN_LENGTH = 1024
_SPACE = "\u2581"


class _Backend(NamedTuple):
    tokenizer: Tokenizer
    adds_bos: bool  # where the file does not say


class _Vocabulary:
    """The metadata of one file's tokenizer, checked against each other."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]):
        self.path = path
        self._metadata = metadata
        self.kind = metadata.get(_PREFIX + "model")
        if self.kind not in ("gpt2", "llama"):
            found = "no tokenizer" if self.kind is None else f"a tokenizer of kind {self.kind!r}"
            error = MissingTokenizerError if self.kind is None else RequestError
            raise error(
                f"{path} holds {found}; supported: 'gpt2' (byte-level BPE), 'llama' (SentencePiece BPE). "
                f"Give the Hugging Face folder that the file was made from. {WITHOUT_TOKENIZER}"
            )
        self.tokens = self.strings("tokens")
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            raise damaged(path, f"{_PREFIX}tokens repeats {len(self.tokens) - len(self.ids)} of its tokens")
        self.types = self.numbers("token_type", default=_NORMAL)
        roles = {**(_SENTENCEPIECE_ROLES if self.kind == "llama" else {})}
        roles |= {key: metadata[_PREFIX + key] for key in _ROLES.values() if _PREFIX + key in metadata}
        for key, token in roles.items():
            if type(token) is not int or not 0 <= token < len(self.tokens):
                raise damaged(path, f"{_PREFIX}{key} is {token!r}, and there are {len(self.tokens)} tokens")
        self.special = {name: self.tokens[roles[key]] for name, key in _ROLES.items() if key in roles}

    def strings(self, key: str) -> list[str]:
        values = self._metadata.get(_PREFIX + key)
        if not isinstance(values, list):
            raise damaged(self.path, f"{_PREFIX}{key} is missing or no list of strings")
        return values

    def numbers(self, key: str, default: int | None = None) -> list[int] | list[float]:
        values = self._metadata.get(_PREFIX + key, default)
        if values is not None and values is default:
            return [values] * len(self.tokens)
        if not isinstance(values, np.ndarray) or len(values) != len(self.tokens):
            raise damaged(self.path, f"{_PREFIX}{key} does not have one number for each of {len(self.tokens)} tokens")
        return values.tolist()

    def flag(self, key: str, default: bool) -> bool:
        value = self._metadata.get(_PREFIX + key, default)
        if not isinstance(value, bool):
            raise damaged(self.path, f"{_PREFIX}{key} is {value!r}, and yes or no was expected")
        return value

    def text(self, key: str, default: str) -> str:
        value = self._metadata.get(_PREFIX + key, default)
        if not isinstance(value, str):
            raise damaged(self.path, f"{_PREFIX}{key} is not a string")
        return value

    def added(self, type_: int) -> list[AddedToken]:
        """Returns the tokens of one type that the text is searched for before anything else is done to it."""
        return [
            AddedToken(token, normalized=False, special=type_ == _CONTROL)
            for token, its_type in zip(self.tokens, self.types, strict=True)
            if its_type == type_ and token
        ]


def build_tokenizer(path: Path, architecture: str, metadata: Mapping[str, Any]) -> transformers.PreTrainedTokenizerBase:
    """Returns the tokenizer that ``metadata`` describes.

    Raises:
      RequestError: there is none, it is of an unknown kind, or its parts do not fit each other.
    """
    vocabulary = _Vocabulary(path, metadata)
    try:
        if vocabulary.kind == "gpt2":
            backend = _byte_level(vocabulary)
        elif architecture == "gemma3":
            backend = _gemma(vocabulary)
        else:
            backend = _sentencepiece(vocabulary)
    except RequestError:
        raise
    except Exception as error:  # ``tokenizers`` raises nothing narrower
        raise damaged(path, f"its tokens and merges do not make a tokenizer ({error})") from error
    special = vocabulary.special
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend.tokenizer,
        **special,
        add_bos_token=vocabulary.flag("add_bos_token", backend.adds_bos) and "bos_token" in special,
        add_eos_token=vocabulary.flag("add_eos_token", False) and "eos_token" in special,
        clean_up_tokenization_spaces=False,
        chat_template=_chat_template(metadata),
    )


def _byte_level(vocabulary: _Vocabulary) -> _Backend:
    name = vocabulary.text("pre", "default")
    if name not in PRE_TOKENIZERS:
        raise RequestError(
            f"{vocabulary.path}: its tokenizer cuts text in the way named {name!r}; supported: "
            f"{', '.join(sorted(PRE_TOKENIZERS))}. Give the Hugging Face folder that the file was made from."
        )
    rules = PRE_TOKENIZERS[name]
    # A merge's first part is never empty, so that a space in first place belongs to it.
    spaces = [(merge, merge.find(" ", 1)) for merge in vocabulary.strings("merges")]
    merges = [(merge[:space], merge[space + 1 :]) for merge, space in spaces]
    tokenizer = Tokenizer(models.BPE(vocabulary.ids, merges, ignore_merges=rules.keeps_whole_words))
    if rules.is_composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = rules.splitter()
    tokenizer.decoder = decoders.ByteLevel()
    return _with_added(tokenizer, vocabulary, rules.adds_bos)


def _sentencepiece(vocabulary: _Vocabulary) -> _Backend:
    merges = implied_merges(vocabulary.path, vocabulary.tokens, vocabulary.numbers("scores"))
    return _with_fallback(vocabulary, vocabulary.ids, merges, has_prefix=vocabulary.flag("add_space_prefix", True))


def _gemma(vocabulary: _Vocabulary) -> _Backend:
    # Runs of spaces stand in the file as such, to be looked for in the text; the published tokenizer has them
    # as ordinary tokens that merges lead to. It also ranks merges by position: the scores of what llama.cpp
    # calls user-defined say nothing, and all others fall with the position.
    tokens = [token.replace(" ", _SPACE) if not token.strip(" ") else token for token in vocabulary.tokens]
    merges = implied_merges(vocabulary.path, tokens, range(0, -len(tokens), -1))
    ids = {token: index for index, token in enumerate(tokens)}
    return _with_fallback(vocabulary, ids, merges, has_prefix=vocabulary.flag("add_space_prefix", False))


def _with_fallback(
    vocabulary: _Vocabulary, ids: dict[str, int], merges: list[tuple[str, str]], *, has_prefix: bool
) -> _Backend:
    model = models.BPE(ids, merges, unk_token=vocabulary.special["unk_token"], fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    prefix = [normalizers.Prepend(_SPACE)] if has_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", _SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if has_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return _with_added(tokenizer, vocabulary, True)


def _with_added(tokenizer: Tokenizer, vocabulary: _Vocabulary, adds_bos: bool) -> _Backend:
    tokenizer.add_special_tokens(vocabulary.added(_CONTROL))
    # One that the model lacks has been respelled, and is reached by merges; adding it would give it a new id.
    added = [token for token in vocabulary.added(_USER_DEFINED) if tokenizer.token_to_id(token.content) is not None]
    tokenizer.add_tokens(added)
    return _Backend(tokenizer, adds_bos)


def implied_merges(path: Path, tokens: Sequence[str], scores: Sequence[float] | Sequence[int]) -> list[tuple[str, str]]:
    """Returns the merges by which SentencePiece would build ``tokens``, first to be applied first.

    SentencePiece joins whichever neighbours make the token of the highest score, so that every way to cut a
    token in two tokens is a merge, and ranks as the token does. Of the ways to make one token, the longest
    first part comes first.
    """
    known = frozenset(tokens)
    order = sorted(range(len(tokens)), key=lambda index: -scores[index])
    if max(map(len, tokens), default=0) > _MAX_TOKEN_LENGTH:
        raise damaged(path, f"one of its tokens has more than {_MAX_TOKEN_LENGTH} characters")
    merges = []
    for index in order:
        token = tokens[index]
        for cut in range(len(token) - 1, 0, -1):
            left, right = token[:cut], token[cut:]
            if left in known and right in known:
                merges.append((left, right))
    return merges


def _chat_template(metadata: Mapping[str, Any]) -> str | dict[str, str] | None:
    prefix = "tokenizer.chat_template"
    default = metadata.get(prefix)
    named = {key.removeprefix(prefix + "."): text for key, text in metadata.items() if key.startswith(prefix + ".")}
    if not isinstance(default, str):
        return None
    return {"default": default, **named} if named else default

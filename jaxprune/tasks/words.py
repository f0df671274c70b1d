"""Words of any script, for measures that count how many of them two texts share."""

import re
import unicodedata

# Scripts that put no spaces between words: each character stands for itself.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_SPACED_OUT = re.compile(f"([{_UNSPACED}])")


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case, punctuation left out; of Chinese, Japanese and Thai the characters."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    # Vowel signs and other marks belong to the letter before them.
    kept = "".join(character if unicodedata.category(character)[0] in "LMN" else " " for character in normal)
    return _SPACED_OUT.sub(r" \1 ", kept).split()

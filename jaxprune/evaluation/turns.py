"""Languages that go through a model together, as many as memory holds; past that they take turns."""

from collections.abc import Mapping

# Past it the blocks are read again for the next languages: time for memory.
_HIDDEN_BYTES = 4 * 2**30


def take_turns(tokens: Mapping[str, int], bytes_per_token: int) -> list[list[str]]:
    """Returns the languages in groups whose hidden states fit the limit together, at least one in each.

    Args:
      tokens: how many each language has.
      bytes_per_token: of the hidden states that are kept.
    """
    groups: list[list[str]] = []
    room = 0
    for language, count in tokens.items():
        needed = count * bytes_per_token
        if not groups or needed > room:
            groups.append([])
            room = _HIDDEN_BYTES
        groups[-1].append(language)
        room -= needed
    return groups

"""What a task is: items to choose, to continue, or to match, in the languages that have them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeVar, get_args, runtime_checkable

Ability = Literal["language", "knowledge", "reasoning"]
"""What a task asks for. Pruning does not hurt the three alike, so they are reported apart."""

ABILITIES: tuple[Ability, ...] = get_args(Ability)

Kind = Literal["choice", "generation", "retrieval"]

METRICS: dict[Kind, tuple[str, ...]] = {
    "choice": ("acc", "acc_norm", "acc_mutual_info"),
    "generation": ("chrf", "rouge1", "rougeL", "exact_match"),
    "retrieval": ("acc", "acc_centred"),
}
"""What is measured of each kind of task; all of them from 0 to 1, and the more the better."""

METRIC_MEANINGS = {
    "acc": "an item is right if its likeliest choice, or of retrieval the nearest of all translations, is its own",
    "acc_norm": "the choice is the likeliest for its length in characters",
    "acc_mutual_info": "the choice is the one that the context makes so much likelier than it is without a context",
    "acc_centred": "the nearest of all translations is the item\u2019s own, once the mean of all vectors of a language "
    "is taken off each; without that (acc) fewer are found, as languages lie apart",
    "chrf": "the F-score of character n-grams shared with the reference",
    "rouge1": "the F-score of words shared with the reference",
    "rougeL": "the F-score of the longest sequence of words shared with the reference",
    "exact_match": "the text is the reference",
}
"""What each of them is, in words."""


@dataclasses.dataclass(frozen=True)
class ChoiceItem:
    """A question with its answers.

    Attributes:
      context: what stands before a choice, with the space or line break between them at its end.
      choices: two or more, of which the likeliest counts as the model's answer.
      answer: the index of the right one.
    """

    id: str
    context: str
    choices: tuple[str, ...]
    answer: int


@dataclasses.dataclass(frozen=True)
class GenerationItem:
    """A prompt that is to be continued.

    Attributes:
      references: right continuations, of which the nearest counts.
      stop: texts that end a continuation and do not belong to it.
      max_new_tokens: where it is cut off.
      copied: what a model could copy from the prompt without understanding it; scored as a baseline.
    """

    id: str
    prompt: str
    references: tuple[str, ...]
    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = 128
    copied: str | None = None


@dataclasses.dataclass(frozen=True)
class RetrievalPair:
    """A sentence in a language, and its translation, which is to be found among those of all items."""

    id: str
    source: str
    target: str


Item = ChoiceItem | GenerationItem | RetrievalPair


@runtime_checkable
class Task(Protocol):
    """Items by language."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def ability(self) -> Ability:
        """What it asks for."""
        ...

    @property
    def kind(self) -> Kind:
        """Of what kind its items are."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured."""
        ...

    @property
    def headline(self) -> str:
        """The one of them that stands for the task."""
        ...

    @property
    def description(self) -> str:
        """What is asked, and of which data, in one line."""
        ...

    def languages(self) -> tuple[str, ...]:
        """Returns the languages that have items, sorted."""
        ...

    def items(self, language: str, limit: int | None) -> Sequence[Item]:
        """Returns the items of one of its languages; where data are parallel, the same ones in each.

        Args:
          limit: the first so many of an order that scatters them; None: all.
        """
        ...

    def is_cached(self) -> bool:
        """Returns whether ``items`` downloads nothing."""
        ...


@dataclasses.dataclass(frozen=True)
class DataTask:
    """A task whose items a function makes, of data that come with a package.

    Attributes:
      read: ``(language, limit) -> items``.
      is_cached: whether that downloads nothing.
    """

    name: str
    ability: Ability
    kind: Kind
    headline: str
    description: str
    codes: tuple[str, ...]
    read: Callable[[str, int | None], Sequence[Item]]
    is_cached: Callable[[], bool]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured of tasks of this kind."""
        return METRICS[self.kind]

    def languages(self) -> tuple[str, ...]:
        """Returns the languages that have items, sorted."""
        return self.codes

    def items(self, language: str, limit: int | None) -> Sequence[Item]:
        """Returns the items of one of its languages."""
        return self.read(language, limit)


T = TypeVar("T")


def digest(text: str) -> bytes:
    """Returns 32 bytes for a text, the same on every machine."""
    return hashlib.sha256(text.encode()).digest()


def content_digest(item: Item) -> bytes:
    """Returns 16 hexadecimal digits for all that an item says, the same on every machine."""
    text = json.dumps(dataclasses.asdict(item), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16].encode()


def scattered(values: Iterable[T], seed: str, key: Callable[[T], str] = str) -> list[T]:
    """Returns values in an order that only ``seed`` and their keys decide."""
    return sorted(values, key=lambda value: hashlib.sha256(f"{seed}\n{key(value)}".encode()).digest())


def with_answer(right: str, wrong: Sequence[str], id_: str) -> tuple[tuple[str, ...], int]:
    """Returns choices and the right one's index, which only ``id_`` decides."""
    answer = digest(f"answer\n{id_}")[0] % (len(wrong) + 1)
    return (*wrong[:answer], right, *wrong[answer:]), answer

"""``file:PATH.jsonl``: a benchmark of the user's own, one item a line. Every complaint names file, line and field."""

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from jaxprune.data.text_files import read_lines
from jaxprune.errors import RequestError
from jaxprune.tasks.items import ABILITIES, METRICS, Ability, ChoiceItem, GenerationItem, Item, Kind, scattered

PREFIX = "file:"

_KINDS: Mapping[Kind, tuple[str, ...]] = {
    "choice": ("context", "choices", "answer", "language"),
    "generation": ("prompt", "reference", "language"),
}
"""The fields that each line has to have. The first tells the kinds apart."""

_OPTIONAL: Mapping[Kind, tuple[str, ...]] = {
    "choice": ("id", "ability", "separator"),
    "generation": ("id", "ability", "stop", "max_new_tokens"),
}

_NAMES = tuple({name: None for fields in (_KINDS, _OPTIONAL) for names in fields.values() for name in names})

# A plural, a slip of the fingers, other capitals; but not idx for id.
_NEAR = 0.82

HELP = (
    '{"context": "...", "choices": ["...", "..."], "answer": 0, "language": "de"} or '
    '{"prompt": "...", "reference": "...", "language": "de"}'
)


@dataclasses.dataclass(frozen=True)
class _Line:
    """An item with what the file says of it."""

    number: int
    language: str
    ability: Ability
    kind: Kind
    item: Item


@dataclasses.dataclass(frozen=True)
class TaskFile:
    """A task that a file holds.

    Besides the fields that ``HELP`` shows, a line may have ``id`` (any text, once in a language; default: the line's
    number), ``ability`` (language, knowledge or reasoning, the same on every line; default: language), ``separator``
    (what stands between context and choice; default: a space, unless one of them brings white space), ``stop`` (a text
    or several that end a continuation; default: a line break) and ``max_new_tokens`` (where it is cut off; default:
    128). Other fields are left alone, unless they look like one of these misspelt.
    """

    path: Path

    @classmethod
    def open(cls, reference: str) -> "TaskFile":
        """Reads and checks the file of ``file:PATH.jsonl``.

        Raises:
          RequestError: it cannot be read, is empty, or a line is not an item; says where.
        """
        path = Path(reference.removeprefix(PREFIX)).expanduser()
        if path.suffix not in (".jsonl", ".json", ".gz") or not path.is_file():
            raise RequestError(
                f"the task {reference} is no file of JSON lines (looked for {path.absolute()}); give an existing "
                f"FILE.jsonl with lines like {HELP}."
            )
        opened = cls(path)
        assert opened._lines
        return opened

    @cached_property
    def _lines(self) -> Sequence[_Line]:
        return _read(self.path)

    @property
    def name(self) -> str:
        """What the user calls it."""
        return f"{PREFIX}{self.path}"

    @property
    def ability(self) -> Ability:
        """What the file says it asks for."""
        return self._lines[0].ability

    @property
    def kind(self) -> Kind:
        """Of what kind its items are."""
        return self._lines[0].kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured of such items."""
        return METRICS[self.kind]

    @property
    def headline(self) -> str:
        """The metric that needs no assumption."""
        return "acc_norm" if self.kind == "choice" else "chrf"

    @property
    def description(self) -> str:
        """Where it comes from."""
        return f"{len(self._lines)} items of {self.path}"

    def languages(self) -> tuple[str, ...]:
        """Returns the languages that have items, sorted."""
        return tuple(sorted({line.language for line in self._lines}))

    def items(self, language: str, limit: int | None) -> Sequence[Item]:
        """Returns the items of a language in the order of the file, or the first ``limit`` of one that scatters them.

        Their ids decide that order, so that items with one id in several languages are taken in all of them.
        """
        items = [line.item for line in self._lines if line.language == language]
        return items if limit is None else scattered(items, "file", lambda item: item.id)[:limit]

    def is_cached(self) -> bool:
        """Returns that its items are here."""
        return True


def _read(path: Path) -> list[_Line]:
    lines: list[_Line] = []
    first_with: dict[tuple[str, str], int] = {}
    for number, text in read_lines(path):
        if not text.strip():
            continue
        line = _Reader(path, number, text).line()
        if lines and line.kind != lines[0].kind:
            raise RequestError(
                f"{path}, line {number}: a {line.kind} item, and line {lines[0].number} has a {lines[0].kind} item; "
                "put them into two files."
            )
        if lines and line.ability != lines[0].ability:
            raise RequestError(
                f"{path}, line {number}: 'ability' is {line.ability}, and on line {lines[0].number} it is "
                f"{lines[0].ability}; put them into two files."
            )
        before = first_with.setdefault((line.language, line.item.id), number)
        if before != number:
            raise RequestError(
                f"{path}, line {number}: the 'id' {line.item.id!r} is that of line {before}; give each item its own."
            )
        lines.append(line)
    if not lines:
        raise RequestError(f"{path} holds no items; write lines like {HELP}.")
    return lines


class _Reader:
    """One line, as it is taken apart."""

    def __init__(self, path: Path, number: int, text: str):
        self._place = f"{path}, line {number}"
        self._number = number
        try:
            self._record = json.loads(text, object_pairs_hook=self._unique)
        except (ValueError, RecursionError) as error:  # ValueError also of a number with too many digits
            raise RequestError(f"{self._place}: no JSON object ({error}); write {HELP} on each line.") from error
        if not isinstance(self._record, dict):
            raise RequestError(f"{self._place}: a {type(self._record).__name__}, not an object; write {HELP}.")

    def _unique(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        record = dict(pairs)
        for key in record:
            if sum(name == key for name, _ in pairs) > 1:
                raise RequestError(f"{self._place}: the field {key!r} occurs twice; keep one of them.")
        return record

    def line(self) -> _Line:
        for field in self._record:
            near = difflib.get_close_matches(field.lower(), _NAMES, n=1, cutoff=_NEAR)
            if field not in _NAMES and near:
                raise RequestError(
                    f"{self._place}: unknown field {field!r}, which looks like {near[0]!r}; write that, or give it "
                    "another name."
                )
        kind: Kind = "generation" if "prompt" in self._record and "context" not in self._record else "choice"
        for field in _KINDS[kind]:
            if field not in self._record:
                found = ", ".join(self._record) or "none"
                raise RequestError(f"{self._place}: no field {field!r}; found fields {found}. Write {HELP}.")
        ability = self._record.get("ability", "language")
        if ability not in ABILITIES:
            raise self._wrong("ability", f"one of {', '.join(ABILITIES)}")
        item = self._choice() if kind == "choice" else self._generation()
        return _Line(self._number, self._text("language"), ability, kind, item)

    def _choice(self) -> ChoiceItem:
        context, choices = self._text("context", may_be_empty=True), self._texts("choices")
        answer = self._record["answer"]
        # White space around a choice is no difference: of two such, neither is the right one more than the other.
        if len(choices) < 2 or len({choice.strip() for choice in choices}) < len(choices):
            raise self._wrong("choices", "a list of two or more different texts")
        if type(answer) is not int or not 0 <= answer < len(choices):
            raise self._wrong("answer", f"the index of the right choice, 0 to {len(choices) - 1}")
        separator = self._text("separator", may_be_empty=True) if "separator" in self._record else " "
        brings_space = context[-1:].isspace() or any(choice[0].isspace() for choice in choices)
        if not context or brings_space:
            separator = ""
        return ChoiceItem(self._id(), context + separator, choices, answer)

    def _generation(self) -> GenerationItem:
        stop = self._texts("stop") if "stop" in self._record else ("\n",)
        most = self._record.get("max_new_tokens", GenerationItem.max_new_tokens)
        if type(most) is not int or most < 1:
            raise self._wrong("max_new_tokens", "a whole number, 1 or more")
        return GenerationItem(self._id(), self._text("prompt"), self._texts("reference"), stop, most)

    def _id(self) -> str:
        if "id" not in self._record:
            return str(self._number)
        id_ = self._record["id"]
        return str(id_) if type(id_) is int else self._text("id")

    def _text(self, field: str, *, may_be_empty: bool = False) -> str:
        value = self._record[field]
        if not isinstance(value, str) or not (value.strip() or may_be_empty):
            raise self._wrong(field, "a text" if may_be_empty else "a text that is not blank")
        return self._encodable(field, value)

    def _texts(self, field: str) -> tuple[str, ...]:
        value = self._record[field]
        values = [value] if isinstance(value, str) and field != "choices" else value
        if not isinstance(values, list) or not values or not all(isinstance(one, str) and one for one in values):
            raise self._wrong(field, "a list of texts" if field == "choices" else "a text or a list of texts")
        # A line break may end a continuation, but is nothing to choose or to be right.
        if field != "stop" and not all(map(str.strip, values)):
            raise self._wrong(field, "a list of texts, none of them blank")
        return tuple(self._encodable(field, one) for one in values)

    def _encodable(self, field: str, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RequestError(f"{self._place}: {field!r} is no valid Unicode ({error.reason}); correct it.") from error
        return value

    def _wrong(self, field: str, wanted: str) -> RequestError:
        shown = json.dumps(self._record[field], ensure_ascii=False)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return RequestError(f"{self._place}: {field!r} is {shown}; it has to be {wanted}.")

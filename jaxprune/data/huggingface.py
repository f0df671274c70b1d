"""``dataset:`` and ``mc4``: text sets that ``datasets`` reads, streamed, from the hub or a local folder."""

import contextlib
import dataclasses
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxprune.data.sources import LANGUAGE_CODE, Split, check_languages, choose_stored, divide
from jaxprune.errors import RequestError

BUFFER_SIZE = 10_000
"""Documents among which a seeded stream draws its next one; the order of the files is drawn as well."""

_PLACE = "{language}"
_REACH_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class DatasetTexts:
    """Any text set of ``datasets``; code that a repository holds is never run.

    Splits train and validation (or test) become calibration and evaluation. A set without such a pair is
    divided by content (``sources.split_of``): its train split, or the first that it has.

    Attributes:
      name: hub id, or a local folder: of data files, or written by ``save_to_disk``.
      config: may hold ``{language}``; None where the set has one configuration. Without ``{language}`` it is
        one text in one language, whichever the user says.
      field: the column that holds the text.
      reference: what the user wrote.
    """

    name: str
    config: str | None = None
    field: str = "text"
    reference: str = ""

    @classmethod
    def parse(cls, rest: str) -> "DatasetTexts":
        """Reads ``NAME[:CONFIG][#FIELD]``."""
        reference = f"dataset:{rest}"
        place, hash_sign, field = rest.partition("#")
        name, colon, config = place.partition(":")
        if not name or (colon and not config) or (hash_sign and not field):
            raise RequestError(f"{reference!r} is incomplete; write dataset:NAME[:CONFIG][#FIELD].")
        if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
            raise RequestError(f"{reference}: there is no folder {name!r}; check the path.")
        return cls(name=name, config=config or None, field=field or "text", reference=reference)

    def languages(self) -> tuple[str, ...] | None:
        """Returns the languages for which there is a configuration; asks the hub unless the set is local."""
        if self.config is None or _PLACE not in self.config:
            return None
        import datasets

        before, after = self.config.split(_PLACE, 1)
        pattern = re.compile(
            re.escape(before) + f"({LANGUAGE_CODE})" + re.escape(after.replace(_PLACE, "\0")).replace("\0", r"\1")
        )
        with self._opening():
            configs = datasets.get_dataset_config_names(self._place())
        return tuple(sorted(match[1] for match in map(pattern.fullmatch, configs) if match))

    def is_local(self) -> bool:
        """Returns whether the set lies in a folder, so that nothing is asked of the hub."""
        return Path(self._place()).is_dir()

    def documents(self, language: str, split: Split, *, seed: int | None) -> Iterator[str]:
        """Returns a split's documents; a seed shuffles files, and documents in a buffer of them."""
        check_languages(self, [language])
        splits = self._splits(language)
        name, whole = choose_stored(splits, split)
        rows = splits[name]
        if seed is not None:
            rows = rows.shuffle(seed=seed, buffer_size=BUFFER_SIZE)
        texts = self._texts(rows)
        return divide(texts, split) if whole else texts

    def _place(self) -> str:
        """Returns what ``datasets`` is asked for."""
        folder = Path(self.name).expanduser()
        return str(folder) if folder.is_dir() else self.name

    def _splits(self, language: str) -> Mapping[str, Any]:
        import datasets

        config = self.config.replace(_PLACE, language) if self.config else None
        place = self._place()
        with self._opening():
            if (Path(place) / "state.json").is_file():
                return {"train": datasets.Dataset.load_from_disk(place).to_iterable_dataset()}
            if (Path(place) / "dataset_dict.json").is_file():
                stored = datasets.DatasetDict.load_from_disk(place)
                return {str(name): part.to_iterable_dataset() for name, part in stored.items()}
            loaded = datasets.load_dataset(place, config, streaming=True)
            return {str(name): part for name, part in loaded.items()}

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """Turns what goes wrong while a set is opened into a ``RequestError``; keeps ``datasets`` silent."""
        import datasets
        from datasets.exceptions import DatasetsError

        if not self.is_local():
            _reach_hub(self.name, self.reference)
        bars = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            yield
        except (ValueError, RuntimeError, OSError, EOFError, zlib.error, DatasetsError) as error:
            raise RequestError(
                f"{self.reference} cannot be opened: {_summary(error)} Check its name, its configuration and its files."
            ) from error
        finally:
            if not bars:
                datasets.enable_progress_bars()

    def _texts(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        import pyarrow
        from datasets.exceptions import DatasetsError

        try:
            for row in rows:
                if self.field not in row:
                    raise RequestError(
                        f"{self.reference} has no field {self.field!r}; it has {', '.join(row)}. Write "
                        "#FIELD at the end."
                    )
                text = row[self.field]
                if not isinstance(text, str):
                    raise RequestError(
                        f"{self.reference}: the field {self.field!r} holds a {type(text).__name__}, not a text; name "
                        "another with #FIELD."
                    )
                yield text
        except RequestError:
            raise
        except (
            ValueError,
            OSError,
            EOFError,
            zlib.error,
            pyarrow.ArrowException,
            DatasetsError,
        ) as error:
            raise RequestError(f"{self.reference} cannot be read: {_summary(error)} Fetch it again.") from error


def mc4(repository: str = "allenai/c4") -> DatasetTexts:
    """Returns mC4: one configuration a language, train for calibration and validation for evaluation.

    Args:
      repository: its hub id, or a local folder of the same layout (a README that lists configurations,
        ``multilingual/`` and ``en/``). The tests read such a folder: the hub itself was out of reach where
        this was written.
    """
    return DatasetTexts(name=repository, config=_PLACE, field="text", reference="mc4")


def _reach_hub(name: str, reference: str) -> None:
    """Asks the hub for the set once, where ``datasets`` itself would retry for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        HfApi().dataset_info(name, timeout=_REACH_SECONDS)
    except GatedRepoError as error:
        raise RequestError(
            f"{reference}: the hub gives {name} only to those who accepted its terms; accept them on its "
            "page and log in with 'hf auth login'."
        ) from error
    except RepositoryNotFoundError as error:
        raise RequestError(
            f"{reference}: the hub has no data set {name!r}, or it is private (then log in with 'hf auth "
            "login'), and there is no such folder."
        ) from error
    except HFValidationError as error:
        raise RequestError(
            f"{reference}: {name!r} is neither a folder nor a hub id; write NAME or ORG/NAME."
        ) from error
    except Exception as error:  # The HTTP client's errors share no base class that the hub library promises.
        raise RequestError(
            f"{reference}: this machine cannot reach the hub ({_summary(error).rstrip('.')}); give local text with "
            "files:FOLDER instead."
        ) from error


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0].rstrip(".") if lines else type(error).__name__)[:300] + "."

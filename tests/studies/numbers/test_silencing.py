"""What silencing did beyond others, in words: corrected over the languages that were tested."""

from jaxprune.studies.numbers.silencing import beyond_others


def effects(value, interval, p_value):
    return {"beyond": {"value": value, "interval": interval, "p_value": p_value, "windows": 8}}


def test_p_values_are_of_all_languages_tested():
    told = beyond_others(
        {
            "de": effects(0.25, (0.125, 0.5), 0.0004),
            "en": effects(-0.5, (-1.0, 0.25), 0.2),
            "sw": None,
            "zh": effects(0.5, (0.1, 0.9), 0.012),
        }
    )
    # Holm: 3 times the lowest, twice the next.
    assert told == {
        "de": "+0.250 (+0.125 to +0.500), p = 0.0012",
        "en": "\u22120.500 (\u22121.000 to +0.250), p = 0.20",
        "sw": "–",
        "zh": "+0.500 (+0.100 to +0.900), p = 0.024",
    }


def test_one_window_and_an_earlier_version_have_no_test():
    told = beyond_others({"de": effects(0.25, None, None), "en": {"own": {}}})
    assert told == {"de": "+0.250", "en": "–"}

import pytest

from jaxprune.data.calibration import parse_mix
from jaxprune.errors import RequestError


@pytest.mark.parametrize(
    ("text", "samples", "expected"),
    [
        ("de", None, {"de": 128}),
        ("de,en", None, {"de": 64, "en": 64}),
        ("sw,de,en", 128, {"sw": 43, "de": 43, "en": 42}),
        ("en,de,sw", 4, {"en": 2, "de": 1, "sw": 1}),
        ("de=96,en=32", None, {"de": 96, "en": 32}),
        ("de=96,en=32", 128, {"de": 96, "en": 32}),
        (" zh-Latn = 3 , swh_Latn=1 ", None, {"zh-Latn": 3, "swh_Latn": 1}),
    ],
)
def test_shares(text, samples, expected):
    mix = parse_mix(text, samples)
    assert list(mix.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("text", "samples", "message"),
    [
        ("de,en,de", None, "names de more than once"),
        ("de=3,de=4", None, "names de more than once"),
        ("de=0,en=2", None, "below 1"),
        ("de=-5", None, "below 1"),
        ("de=96,en=32", 100, "128 sequences, but --samples asks for 100"),
        ("de,en,sw", 2, "cannot be shared"),
        ("de=96,en", None, "not understood"),
        ("de:96", None, "not understood"),
        ("de=1.5", None, "not understood"),
        ("de,,en", None, "not understood"),
        ("", None, "not understood"),
        ("de;en", None, "not understood"),
    ],
)
def test_refusals(text, samples, message):
    with pytest.raises(RequestError, match=message):
        parse_mix(text, samples)

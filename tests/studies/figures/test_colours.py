"""A language has one colour in all figures, a mixture that of its language with hollow marks, and dense is thick."""

import pytest
from matplotlib import colors

from jaxprune.studies.figures.colours import MANY, PALETTE, is_mixture, language_colours, mixed_languages
from jaxprune.studies.figures.files import INK, PAPER
from jaxprune.studies.figures.line_styles import calibration_of, line_styles


def test_a_languages_colour_does_not_depend_on_the_others():
    alone = language_colours(["sw"])
    among = language_colours(["de,en", "sw", "de", "no calibration"])
    assert alone["sw"] == among["sw"]
    assert len({among[name] for name in ("sw", "de", "no calibration")}) == 3
    many = language_colours([f"mix {number}" for number in range(20)] + ["de"])
    assert set(many.values()) == set(PALETTE)
    assert many["mix 0"] != many["de"]
    assert all(colors.is_color_like(colour) for colour in PALETTE)


@pytest.mark.parametrize("name", ["de,en", "en,de", "de+en", "de=3,en=1"])
def test_a_mixtures_colour_is_its_languages_whatever_else_is_drawn(name):
    assert is_mixture(name)
    assert sorted(mixed_languages(name)) == ["de", "en"]
    assert language_colours([name])[name] == language_colours(["es", "sw", "ar", "de", name])[name]
    assert language_colours([name])[name] == language_colours(["de"])["de"]


def test_mixtures_of_many_have_a_colour_that_no_language_has():
    found = language_colours(["ar,de,en", "all", "de=2,en=1,sw=1", "ar"])
    assert found["ar,de,en"] == found["de=2,en=1,sw=1"] == MANY
    assert MANY not in PALETTE
    assert colors.is_color_like(MANY)


def test_styles_do_not_depend_on_the_order_of_lines():
    names = [f"{of} · {how}" for how in ("wanda", "sparsegpt") for of in ("en", "de", "de,en")]
    styles = line_styles(calibration_of(names))
    assert line_styles(calibration_of(names[::-1])) == styles
    for of in ("en", "de", "de,en"):
        assert styles[f"{of} · wanda"].mark == styles[f"{of} · sparsegpt"].mark
    for how in ("wanda", "sparsegpt"):
        assert styles[f"en · {how}"].stroke == styles[f"de · {how}"].stroke


def test_a_language_has_one_mark_whatever_else_is_drawn():
    few = line_styles(calibration_of(["de", "sw"]))
    many = line_styles(calibration_of(["ru", "de,en", "de,sw", "ar,de,en", "zh", "sw", "en", "de"]))
    for of in ("de", "sw"):
        assert few[of] == many[of]
    assert many["de,en"].mark == many["de"].mark
    assert many["ar,de,en"].mark not in {style.mark for of, style in many.items() if of != "ar,de,en"}
    # Both are German's hollow blue.
    assert many["de,sw"].colour == many["de,en"].colour
    assert many["de,sw"].mark not in {style.mark for of, style in many.items() if of != "de,sw"}


def test_what_is_no_mixture():
    for name in ("de", "no calibration", "wanda", "0.5", "org/a,b", "all"):
        assert not is_mixture(name)
        assert mixed_languages(name) == [name]
    assert is_mixture("ja-Latn,zh")


def test_lines_are_told_apart_without_colours_too():
    names = ["dense", *(f"{of} · {how}" for how in ("wanda", "sparsegpt") for of in ("en", "de", "de,en"))]
    styles = line_styles(calibration_of(names))
    assert len({style[1:] for style in styles.values()}) == len(names)
    dense, english, mixed = styles["dense"], styles["en · wanda"], styles["de,en · wanda"]
    # Both are in the colour of the page's text.
    assert dense.colour == english.colour == INK
    assert dense.width > 1.5 * english.width
    assert not dense.mark
    assert mixed.colour == styles["de · wanda"].colour
    assert mixed.face == PAPER != styles["de · wanda"].face
    for of in ("en", "de", "de,en"):
        assert styles[f"{of} · wanda"].stroke != styles[f"{of} · sparsegpt"].stroke

"""Ratios in tables: numbers, and a word where nothing changed."""

import math

from jaxprune.cli.decibels import decibels


def test_a_number_has_two_digits_and_its_unit():
    assert decibels(12.346) == "12.35"
    assert decibels(-3.0, " dB") == "-3.00 dB"


def test_infinite_is_no_change_only_where_nothing_changed():
    assert decibels(math.inf, " dB", is_unchanged=True) == "no change"
    assert decibels(math.inf, " dB") == "inf dB"

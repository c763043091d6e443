"""Defaults on real data: well above what mean pooling reaches (0.968 and 0.41)."""

import sys

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding
from otk_sklearn.datasets import load_digit_points, load_japanese_vowels


def make_classifier():
    return make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(random_state=0),
        LogisticRegression(max_iter=1000),
    )


def test_japanese_vowels():
    model = make_classifier().fit(*load_japanese_vowels("train"))
    assert model.score(*load_japanese_vowels("test")) >= 0.98


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime.datasets", None)
    with pytest.raises(ImportError, match=r'needs sktime: pip install "otk-sklearn\[data'):
        load_japanese_vowels("train")


def test_digit_points():
    X, y = load_digit_points()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
    assert make_classifier().fit(X, y).score(X_test, y_test) >= 0.92

"""The HTML representation links to the documentation."""

import importlib.metadata
import inspect
import tomllib
from email.message import Message
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler

import otk_sklearn
from otk_sklearn import ElementTransformer, OTKEmbedding
from otk_sklearn._utils import estimators

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
ESTIMATORS = [
    name
    for name in otk_sklearn.__all__
    if inspect.isclass(getattr(otk_sklearn, name))
    and issubclass(getattr(otk_sklearn, name), BaseEstimator)
]


@pytest.fixture
def install(monkeypatch):
    """Let the package be installed with these URLs, or not at all with None."""

    def metadata(_):
        if urls is None:
            raise importlib.metadata.PackageNotFoundError
        message = Message()
        for name, url in urls.items():
            message["Project-URL"] = f"{name}, {url}"
        return message

    def install_with(given):
        nonlocal urls
        urls = given
        estimators._documentation_url.cache_clear()

    urls = None
    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    yield install_with
    estimators._documentation_url.cache_clear()


def make(name):
    estimator = getattr(otk_sklearn, name)
    return estimator(StandardScaler()) if estimator is ElementTransformer else estimator()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_estimator_links_to_its_page(name, install):
    urls = tomllib.loads(PROJECT.read_text())["project"]["urls"]
    install({"Source": "https://example.com", **urls})
    page = f"https://otk-sklearn.readthedocs.io/generated/otk_sklearn.{name}.html"
    assert f'href="{page}"' in make(name)._repr_html_()


@pytest.mark.parametrize("urls", [None, {}, {"Source": "https://example.com"}])
def test_no_link_where_none_is_known(urls, install):
    install(urls)
    html = OTKEmbedding()._repr_html_()
    assert "OTKEmbedding" in html
    assert "otk_sklearn.OTKEmbedding" not in html


def test_estimators_of_others_do_not_link_here(install):
    install({"Documentation": "https://example.com/"})

    class Theirs(OTKEmbedding):
        pass

    assert OTKEmbedding()._get_doc_link()
    assert not Theirs()._get_doc_link()

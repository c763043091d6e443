"""`FisherVectorEmbedding` against derivatives of scikit-learn's mixture."""

import copy

import numpy as np
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from scipy.special import softmax
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from otk_sklearn import FisherVectorEmbedding, SetCollection
from otk_sklearn.embeddings._gaussian_mixture import responsibilities

RAW = {"power": 1, "normalize": False}


def weighted(sets):
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1, len(x)) for x in sets]


def mean_log_likelihood(mixture, means, deviations, x, masses):
    """By scikit-learn, with other means and deviations."""
    other = copy.deepcopy(mixture)
    other.means_ = means.reshape(mixture.means_.shape)
    other.precisions_cholesky_ = 1 / deviations.reshape(mixture.means_.shape)
    return masses @ other.score_samples(x)


def test_vectors_are_derivatives_over_roots_of_fisher_information():
    """Information of mean and deviation: `w / sigma^2` and `2 w / sigma^2`."""
    sets = make_sets(n_sets=6, n_features=2)
    weights = weighted(sets)
    X = SetCollection.from_sets(sets, weights=weights)
    model = FisherVectorEmbedding(3, random_state=0, **RAW).fit(X)
    mixture = model.mixture_
    means, deviations = mixture.means_, np.sqrt(mixture.covariances_)
    w = mixture.weights_[:, np.newaxis]
    for x, weight, vector in zip(sets, weights, model.transform(X)):
        x = model.scaler_.transform(x)
        of_set = mixture, x, weight / weight.sum()

        def by_means(means, mixture=mixture, x=x, a=of_set[2]):
            return mean_log_likelihood(mixture, means, deviations, x, a)

        def by_deviations(deviations, mixture=mixture, x=x, a=of_set[2]):
            return mean_log_likelihood(mixture, means, deviations, x, a)

        gradients = approx_fprime(means.ravel(), by_means, 1e-6)
        expected = [gradients.reshape(means.shape) * deviations / np.sqrt(w)]
        gradients = approx_fprime(deviations.ravel(), by_deviations, 1e-6)
        expected += [gradients.reshape(means.shape) * deviations / np.sqrt(2 * w)]
        assert_allclose(vector, np.ravel(expected), atol=2e-4)


@pytest.mark.parametrize("power", [1, 0.5])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_are_those_of_the_formula(power, normalize, sets):
    model = FisherVectorEmbedding(3, power=power, normalize=normalize, random_state=0).fit(
        sets
    )
    weights, means = model.mixture_.weights_, model.mixture_.means_
    sigma = np.sqrt(model.mixture_.covariances_)
    for x, vector in zip(sets, model.transform(sets)):
        x = model.scaler_.transform(x)
        log_joint = norm.logpdf(x[:, np.newaxis], means, sigma).sum(axis=2)
        gamma = softmax(log_joint + np.log(weights), axis=1)[:, :, np.newaxis]
        off = (x[:, np.newaxis] - means) / sigma
        root = np.sqrt(weights)[:, np.newaxis]
        expected = np.ravel(
            [
                np.mean(gamma * off, axis=0) / root,
                np.mean(gamma * (off**2 - 1), axis=0) / (np.sqrt(2) * root),
            ]
        )
        expected = np.sign(expected) * np.abs(expected) ** power
        if normalize:
            expected /= np.linalg.norm(expected)
        assert_allclose(vector, expected, atol=1e-12)


def test_all_training_elements_together_have_no_gradient(sets):
    """They are what the mixture is most likely for."""
    x = np.concatenate(sets)
    model = FisherVectorEmbedding(
        3, reg_covar=1e-6, tol=1e-12, max_iter=3000, random_state=0, **RAW
    )
    vector = model.fit([x]).transform([x])
    assert_allclose(vector, np.zeros_like(vector), atol=1e-4)


def test_elements_of_weight_zero_take_no_part(sets):
    weights = [np.r_[np.ones(len(x)), 0.0] for x in sets]
    beside = [np.vstack([x, np.full((1, x.shape[1]), 9.0)]) for x in sets]
    X = SetCollection.from_sets(beside, weights=weights)
    model = FisherVectorEmbedding(3, random_state=0)
    assert_allclose(model.fit_transform(X), model.fit_transform(sets), atol=1e-12)


def test_neither_scale_nor_offset_matter(sets):
    model = FisherVectorEmbedding(3, random_state=0)
    scale, offset = np.array([1e-3, 1.0, 1e3, 1e100]), np.array([1e3, -1e3, 0, 1e100])
    far = model.fit_transform([x * scale + offset for x in sets])
    assert_allclose(far, model.fit_transform(sets), atol=1e-4)


def test_fewer_elements_than_gaussians_are_told():
    sets = [np.arange(6.0).reshape(3, 2), np.arange(2.0).reshape(1, 2)]
    with pytest.warns(UserWarning, match="n_components=16 is more than the 3 distinct"):
        model = FisherVectorEmbedding().fit(sets)
    assert model.transform(sets).shape == (2, 2 * 3 * 2)


def test_one_element_is_too_few(sets):
    weightless = SetCollection.from_sets(
        [sets[1]], weights=[[1, *[0] * (len(sets[1]) - 1)]]
    )
    for X, max_elements in [([sets[0]], 9), (weightless, 9), (sets, 1)]:
        model = FisherVectorEmbedding(2, max_elements=max_elements)
        with pytest.raises(ValueError, match="n_samples=1 element .* expected at least 2"):
            model.fit(X)


@pytest.mark.parametrize("max_iter", [2, 100])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_mixture_is_that_of_scikit_learn(sets, max_iter):
    """To the last bit, and nothing is left of how it was fitted."""
    model = FisherVectorEmbedding(3, max_iter=max_iter, random_state=0).fit(sets)
    found = model.mixture_
    x = model.scaler_.transform(np.concatenate(sets))
    expected = GaussianMixture(**found.get_params()).fit(x)
    assert type(found) is GaussianMixture
    assert vars(found).keys() == vars(expected).keys()
    for name, value in vars(expected).items():
        assert_array_equal(getattr(found, name), value, err_msg=name)
    assert found.converged_ == (max_iter == 100)
    assert_array_equal(responsibilities(found, x), expected.predict_proba(x))


def test_elements_that_differ_by_rounding_are_not_warned_of():
    x = np.repeat(np.eye(3), 20, axis=0)
    x += 1e-12 * np.random.default_rng(0).normal(size=x.shape)
    model = FisherVectorEmbedding(8, random_state=0).fit([x])
    assert np.isfinite(model.transform([x])).all()


def test_a_mixture_that_has_not_settled_is_told(sets):
    message = "has not converged within max_iter=1 iterations. Increase max_iter or tol="
    with pytest.warns(ConvergenceWarning, match=message):
        model = FisherVectorEmbedding(3, max_iter=1, random_state=0).fit(sets)
    assert model.n_iter_ == 1


def test_a_mixture_that_does_not_fit_is_refused(sets):
    model = FisherVectorEmbedding(3, random_state=0).fit(sets)
    for name in ["means_", "precisions_cholesky_"]:
        value = getattr(model.mixture_, name)
        for wrong in [value[:-1], value[:, :-1], value[0], value * np.nan, None]:
            setattr(model.mixture_, name, wrong)
            with pytest.raises((TypeError, ValueError), match=name):
                model.transform(sets)
        setattr(model.mixture_, name, value)
    for name in ["mean_", "scale_"]:
        value = getattr(model.scaler_, name)
        for wrong in [value[:-1], value[:, np.newaxis], value * np.nan, None]:
            setattr(model.scaler_, name, wrong)
            with pytest.raises(ValueError, match=f"scaler_.{name}"):
                model.transform(sets)
        setattr(model.scaler_, name, value)

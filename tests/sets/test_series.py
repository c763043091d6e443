"""Time series of aeon, sktime, tslearn and pandas, as sets of time steps."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.impute import SimpleImputer

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection, SetPooling

NAN = np.nan
LENGTHS = [4, 6, 1]
STEPS = [np.arange(2.0 * n).reshape(n, 2) + 10 * i + 1 for i, n in enumerate(LENGTHS)]
CHANNELS_FIRST = [x.T for x in STEPS]


def padded(series, fill_value=NAN):
    shape = np.max([x.shape for x in series], axis=0)
    out = np.full((len(series), *shape), fill_value)
    for rows, x in zip(out, series):
        rows[: x.shape[0], : x.shape[1]] = x
    return out


def panel(names=("u", "v", "w")):
    index = [(name, t) for name, n in zip(names, LENGTHS) for t in range(n)]
    index = pd.MultiIndex.from_tuples(index, names=["subject", "time"])
    return pd.DataFrame(np.vstack(STEPS), index=index, columns=["x", "y"])


def assert_same_sets(collection, sets):
    assert [x.tolist() for x in collection] == [np.asarray(x).tolist() for x in sets]


FORMS = {
    "aeon: a list of (channels, time)": (CHANNELS_FIRST, -1),
    "a tuple of nested lists": (tuple(x.tolist() for x in CHANNELS_FIRST), -1),
    "an array of objects": (np.array([*CHANNELS_FIRST, None], object)[:-1], -1),
    "a Series of arrays": (pd.Series(CHANNELS_FIRST, index=["u", "v", "w"]), -1),
    "aeon, sktime: padded": (padded(CHANNELS_FIRST), -1),
    "nested lists, padded": (padded(CHANNELS_FIRST).tolist(), -1),
    "a list, padded": (list(padded(CHANNELS_FIRST)), -1),
    "tslearn: padded": (padded(STEPS), -2),
    "a list of (time, channels)": (STEPS, -2),
    "sktime: df-list": ([pd.DataFrame(x, columns=["x", "y"]) for x in STEPS], None),
    "df-list, said again": ([pd.DataFrame(x, columns=["x", "y"]) for x in STEPS], -2),
    "sktime: pd-multiindex": (panel(), None),
    "sktime: nested_univ": (
        pd.DataFrame(
            {c: [pd.Series(x[:, j]) for x in STEPS] for j, c in enumerate("xy")},
            index=["u", "v", "w"],
        ),
        None,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_series(form):
    X, time_axis = FORMS[form]
    sets = SetCollection.from_series(X, time_axis=time_axis)
    assert_same_sets(sets, STEPS)
    assert sets.positions is None
    named = isinstance(X, pd.DataFrame | pd.Series)
    assert (sets.names is None) != named
    assert not named or sets.names.tolist() == ["u", "v", "w"]
    has_columns = time_axis is None or form.startswith("df-list")
    assert (None if sets.feature_names is None else sets.feature_names.tolist()) == (
        ["x", "y"] if has_columns else None
    )


def test_float32_and_names():
    X = padded(CHANNELS_FIRST).astype(np.float32)
    sets = SetCollection.from_series(
        X, time_axis=-1, names=["u", "v", "w"], feature_names=["x", "y"]
    )
    assert sets.dtype == np.float32
    assert_same_sets(sets, STEPS)
    assert sets.names.tolist() == ["u", "v", "w"]
    assert sets.feature_names.tolist() == ["x", "y"]


def test_tensors():
    torch = pytest.importorskip("torch")
    X = torch.tensor(padded(CHANNELS_FIRST)).bfloat16().requires_grad_()
    for form in [X, list(X)]:
        sets = SetCollection.from_series(form, time_axis=-1)
        assert_same_sets(sets, STEPS)
        assert sets.dtype == np.float32


def test_sktime_loads_the_same_series_in_each_of_its_forms():
    datasets = pytest.importorskip("sktime.datasets")
    forms = [
        (SetCollection.from_series(X, time_axis=-1 if form == "numpy3D" else None), y)
        for form in ["numpy3D", "pd-multiindex", "df-list", "nested_univ"]
        for X, y in [datasets.load_basic_motions("train", return_type=form)]
    ]
    for sets, y in forms:
        assert_array_equal(sets.values, forms[0][0].values)
        assert_array_equal(sets.lengths, [100] * 40)
        assert_array_equal(y, forms[0][1])


# --- time


@pytest.mark.parametrize("time_axis", [None, 0, 1, 2, -3, True, "time"])
@pytest.mark.parametrize("X", [padded(CHANNELS_FIRST), CHANNELS_FIRST], ids=len)
def test_arrays_need_an_axis_of_time_counted_from_the_end(X, time_axis):
    """1 would be time in an array of tslearn, and channels first in its items."""
    message = (
        rf"time_axis is {time_axis}; expected -1 where time comes last, as in aeon and "
        rf"sktime, or -2 .* as in tslearn \(set 0 of X has shape \(2, \d\)\)"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_series(X, time_axis=time_axis)


@pytest.mark.parametrize(
    ("X", "wrong", "right"), [(CHANNELS_FIRST, -2, -1), (STEPS, -1, -2)]
)
def test_the_wrong_axis(X, wrong, right):
    message = (
        rf"time_axis is {wrong}, and series of X have 1 to 6 channels, and 2 time steps "
        rf"each; expected time_axis={right}"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_series(X, time_axis=wrong)
    assert_same_sets(SetCollection.from_series(X, time_axis=right), STEPS)


def test_rows_of_tables_are_time_steps():
    for form in ["sktime: df-list", "sktime: pd-multiindex", "sktime: nested_univ"]:
        with pytest.raises(ValueError, match="time_axis is -1; expected None for a table"):
            SetCollection.from_series(FORMS[form][0], time_axis=-1)


def test_long_tables_are_in_the_order_of_time():
    table = panel()
    mixed = table.iloc[[0, 2, 1, *range(3, len(table))]]
    message = (
        r"row 2 of X is time 1 of series 'u', after 2; expected the order of time, the "
        r"last level of the index, each time once: X.sort_index\(\)"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_series(mixed)
    assert_same_sets(SetCollection.from_series(mixed.sort_index()), STEPS)
    # Rows of different series may alternate.
    alternating = table.sort_index(level="time", sort_remaining=False, kind="stable")
    sets = SetCollection.from_series(alternating)
    assert_same_sets(sets, STEPS)
    assert_array_equal(alternating.to_numpy()[sets.rows], sets.values)
    dates = table.copy()
    start = pd.Timestamp("2024-01-01")
    index = [(name, start + pd.Timedelta(t, unit="h")) for name, t in table.index]
    dates.index = pd.MultiIndex.from_tuples(index)
    assert_same_sets(SetCollection.from_series(dates), STEPS)
    with pytest.raises(ValueError, match=r"is time Timestamp\('2024-01-01 01:00:00'\) of"):
        SetCollection.from_series(dates.iloc[[0, 2, 1]])
    dates.index = pd.MultiIndex.from_tuples([(index[0][0], pd.NaT), *index[1:]])
    with pytest.raises(ValueError, match="X has no time in row 0, in the last level of"):
        SetCollection.from_series(dates)


@pytest.mark.parametrize(
    "times",
    [
        np.arange(6) / 4,
        pd.date_range("2024-01-01", periods=6),
        pd.to_timedelta(np.arange(6), unit="s"),
        pd.period_range("2024-01", periods=6, freq="M"),
    ],
    ids=lambda times: type(times).__name__,
)
def test_tables_of_a_list_are_in_the_order_of_time(times):
    tables = [pd.DataFrame(x, index=times[: len(x)]) for x in STEPS]
    X = [tables[0], tables[1].iloc[[0, 2, 1, 3, 4, 5]], tables[2]]
    message = (
        r"row 2 of set 1 of X is time .*, after .*; expected the order of time: (\[.*)"
    )
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_series(X)
    by_time, by_place = re.search(message, str(caught.value))[1][:-1].split(
        ", or, if the index is not time, "
    )
    assert_same_sets(SetCollection.from_series(eval(by_time, {"X": X})), STEPS)  # noqa: S307
    as_they_are = SetCollection.from_series(eval(by_place, {"X": X}))  # noqa: S307
    assert_array_equal(as_they_are[1], X[1])


def test_an_index_of_a_list_that_is_no_time():
    for index in [["b", "a", "a", "c"], [3, 3, 3, 3]]:  # a name, in each row
        X = [pd.DataFrame(STEPS[0], index=index)]
        assert_same_sets(SetCollection.from_series(X), STEPS[:1])


def test_time_is_the_last_level():
    table = panel()
    swapped = table.swaplevel().sort_index()
    message = (
        r"has the levels \['time', 'subject'\]; expected time as the last one: (.*)\.$"
    )
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_series(swapped)
    line = re.search(message, str(caught.value))[1]
    assert_same_sets(SetCollection.from_series(eval(line, {"X": swapped})), STEPS)  # noqa: S307
    three = pd.concat({0: table}, names=["Timestamp"])
    three = three.droplevel("time").set_index(table["x"].rename("step"), append=True)
    with pytest.raises(ValueError, match=r"X.reorder_levels\(\[1, 2, 0\]\)"):
        SetCollection.from_series(three)


def test_text_is_no_time():
    """Of unnamed levels in the wrong order, or of times, such as "10" before "9"."""
    message = "has text, such as 'u'; .* pd.to_datetime of their column, before set_index. "
    swapped = panel().swaplevel().sort_index().rename_axis([None, None])
    with pytest.raises(ValueError, match=message + "If time .*: X.swaplevel"):
        SetCollection.from_series(swapped)
    steps = pd.CategoricalIndex(["low", "high"], ["low", "high"], ordered=True)
    index = pd.MultiIndex.from_product([["a"], steps])
    table = pd.DataFrame({"x": [1.0, 2.0]}, index=index)
    assert_same_sets(SetCollection.from_series(table), [[[1.0], [2.0]]])
    table.index = pd.MultiIndex.from_product([["a"], pd.CategoricalIndex(["1", "2"])])
    with pytest.raises(ValueError, match="has text, such as '1'; expected times as num"):
        SetCollection.from_series(table)


def test_levels_before_time_name_the_series():
    table = pd.concat({"day 1": panel(), "day 2": panel()})
    sets = SetCollection.from_series(table)
    assert_same_sets(sets, STEPS * 2)
    assert sets.names.tolist()[2:4] == [("day 1", "w"), ("day 2", "u")]
    univariate = SetCollection.from_series(panel()["y"])
    assert_same_sets(univariate, [x[:, 1:] for x in STEPS])
    assert univariate.feature_names.tolist() == ["y"]


# --- NaN


def test_padding_of_a_long_table():
    table = panel()
    table.iloc[[2, 3]] = NAN
    sets = SetCollection.from_series(table)
    assert_same_sets(sets, [STEPS[0][:2], *STEPS[1:]])
    assert_array_equal(sets.rows, [0, 1, *range(4, 11)])
    assert_array_equal(np.isnan(sets.to_rows(sets.rows.astype(float))).nonzero()[0], [2, 3])
    table.loc["w"] = NAN  # nothing is left of the last one
    assert SetCollection.from_series(table).lengths.tolist() == [2, 6, 0]
    table.loc["u"] = NAN
    assert SetCollection.from_series(table).lengths.tolist() == [0, 6, 0]


@pytest.mark.parametrize("form", ["aeon: a list of (channels, time)", "tslearn: padded"])
@pytest.mark.parametrize("channels", [slice(None), 1])
def test_nan_before_the_end(form, channels):
    X, time_axis = FORMS[form]
    X = [x.copy() for x in X]
    (X[1] if time_axis == -2 else X[1].T)[2, channels] = NAN
    feature = 1 if channels == 1 else 0
    message = (
        rf"X contains NaN in set 1 \(element 2, feature {feature}\), before its end; expec"
        r"ted NaN at ends only, as padding. To impute them by .* keep them: (.*)\.$"
    )
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_series(X, time_axis=time_axis)
    line = re.search(message, str(caught.value))[1]
    sets = eval(line, {"SetCollection": SetCollection, "X": X})  # noqa: S307
    imputed = ElementTransformer(SimpleImputer()).fit_transform(sets)
    assert not np.isnan(imputed[1][2]).any()


def test_nan_of_tables_is_named():
    table = panel()
    table.iloc[5, 1] = NAN
    line = "SetCollection.from_groups(X, X.index.droplevel(-1))"
    message = rf"in set 1, named 'v' \(element 1, feature 'y'\), .*: {re.escape(line)}\.$"
    with pytest.raises(ValueError, match=message):
        SetCollection.from_series(table)
    names = {"SetCollection": SetCollection, "X": table}
    sets = eval(line, names)  # noqa: S307
    assert sets.lengths.tolist() == LENGTHS
    cells = FORMS["sktime: nested_univ"][0].copy()
    cells.at["v", "y"] = pd.Series([1, NAN, 2, 3, 4, 5])
    with pytest.raises(
        ValueError, match=r"'v' \(element 1, feature 'y'\).* keep them: \w+"
    ):
        SetCollection.from_series(cells)


def test_zeros_that_look_like_padding():
    X = padded(CHANNELS_FIRST, 0)
    line = r"such as (SetCollection.from_padded\(np.swapaxes\(np.stack\(X\), 1, 2\), .*)\.$"
    with pytest.warns(UserWarning, match=line) as caught:
        SetCollection.from_series(X, time_axis=-1)
    line = re.search(line, str(caught[0].message))[1]
    names = {"SetCollection": SetCollection, "np": np, "X": X}
    assert_same_sets(eval(line, names), STEPS)  # noqa: S307


# --- positions and windows


def test_positions_only_if_asked():
    seconds = np.arange(6) / 6
    expected = np.concatenate([seconds[:n] for n in LENGTHS])
    for X, time_axis in [(padded(CHANNELS_FIRST), -1), (STEPS, -2)]:
        for positions in [seconds, seconds.tolist()]:
            sets = SetCollection.from_series(X, time_axis=time_axis, positions=positions)
            assert_array_equal(sets.positions[:, 0], expected)
    own = [np.sqrt(seconds[:n]) for n in LENGTHS]
    sets = SetCollection.from_series(STEPS, time_axis=-2, positions=own)
    assert_array_equal(sets.positions[:, 0], np.concatenate(own))
    table = panel()
    time = table.index.get_level_values("time").to_numpy() / 6
    assert_array_equal(
        SetCollection.from_series(table, positions=time).positions[:, 0], time
    )
    with pytest.raises(
        ValueError, match=r"shape \(5,\); expected one .* of the longest series, 6, or an"
    ):
        SetCollection.from_series(STEPS, time_axis=-2, positions=seconds[:5])
    with pytest.raises(ValueError, match="positions is given for 1 of 3 sets"):
        SetCollection.from_series(STEPS, time_axis=-2, positions=[seconds])


def test_embeddings_of_windows_and_positions_are_those_of_transposed_arrays():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(2, n)) for n in (9, 5, 12, 7)]
    embedding = OTKEmbedding(
        3, n_components=4, filter_size=3, position="gaussian", epsilon=1, random_state=0
    )
    sets = SetCollection.from_series(X, time_axis=-1)
    expected = embedding.fit_transform([x.T for x in X])
    assert_array_equal(embedding.fit_transform(sets), expected)
    grid = np.arange(12) / 12
    sets = SetCollection.from_series(padded(X), time_axis=-1, positions=grid)
    same = SetCollection.from_sets(
        [x.T for x in X], positions=[grid[: x.shape[1]] for x in X]
    )
    found = embedding.fit_transform(sets)
    assert_array_equal(found, embedding.fit_transform(same))
    assert not np.allclose(found, expected)


# --- other input


def test_what_is_no_series_of_channels():
    def make(X, **kwargs):
        return SetCollection.from_series(X, **kwargs)

    flat = np.arange(6.0).reshape(2, 3)
    message = (
        r"X has shape \(2, 3\); .* channel: X\[:, np.newaxis\], with time_axis=-1. Of one "
        r"series: \[X\]"
    )
    with pytest.raises(ValueError, match=message):
        make(flat, time_axis=-1)
    assert_same_sets(make(flat[:, np.newaxis], time_axis=-1), flat[:, :, np.newaxis])
    assert_same_sets(make([flat], time_axis=-1), [flat.T])
    for time_axis, shape in [(-1, r"\(1, -1\)"), (-2, r"\(-1, 1\)")]:
        X = [np.ones(3), np.ones(4)]
        message = rf"set 0 of X has shape \(3,\).*: \[np.reshape\(x, {shape}\) for x in X\]"
        with pytest.raises(ValueError, match=message):
            make(X, time_axis=time_axis)
        one_channel = [np.reshape(x, eval(shape.replace("\\", ""))) for x in X]  # noqa: S307
        assert make(one_channel, time_axis=time_axis).lengths.tolist() == [3, 4]
    with pytest.raises(ValueError, match=r"a MultiIndex of series and time, X.set_index\("):
        make(panel().reset_index())
    message = r"Of one series: \[X\]; or, out of a table of many, table.loc\[\[name\]\]\.$"
    with pytest.raises(ValueError, match=message):
        make(panel().loc["v"])
    assert_same_sets(make([panel().loc["v"]]), STEPS[1:2])
    assert make(panel().loc[["v"]]).names.tolist() == ["v"]
    with pytest.raises(ValueError, match="X is an empty collection"):
        make([], time_axis=-1)
    with pytest.raises(ValueError, match="names is given, and X is a table, which has nam"):
        make(panel(), names=[1, 2, 3])
    with pytest.raises(ValueError, match="set 0 of X has shape"):
        make(np.ones((2, 3, 4, 5)), time_axis=-1)
    cells = FORMS["sktime: nested_univ"][0].copy()
    cells.at["v", "y"] = pd.Series([1.0, 2.0])
    with pytest.raises(ValueError, match="channels of set 1 of X have 2 to 6 time steps"):
        make(cells)


def test_missing_series_are_empty():
    sets = SetCollection.from_series([None, *CHANNELS_FIRST], time_axis=-1)
    assert sets.lengths.tolist() == [0, *LENGTHS]
    embedded = SetPooling(empty_sets="zero").fit_transform(sets)
    assert_array_equal(embedded[0], [0, 0])


def test_a_time_step_is_there_once():
    index = pd.MultiIndex.from_tuples([("a", 0), ("a", 1), ("a", 1)])
    message = "row 2 of X is time 1 of series 'a', after 1; .*: X[~X.index.duplicated()]."
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\.\*", ".*")):
        SetCollection.from_series(pd.DataFrame({"x": [1.0, 2, 3]}, index=index))


def test_text_is_no_channel_even_if_it_is_of_digits():
    index = pd.MultiIndex.from_product([["a", "b"], [0, 1]])
    table = pd.DataFrame({"x": 1.0, "label": list("1122")}, index=index)
    for read in (
        SetCollection.from_series,
        lambda table: SetCollection.from_groups(table, index.droplevel(-1)),
    ):
        with pytest.raises(ValueError, match=r"label"):
            read(table)


def test_times_are_no_positions():
    index = pd.MultiIndex.from_product([["a"], pd.date_range("2024-01-01", periods=3)])
    table = pd.DataFrame({"x": np.arange(3.0)}, index=index)
    times = index.get_level_values(1)
    message = r"is (datetime|timedelta)64.*; expected real numbers: of times, seconds since"
    for positions in [times, times - times[0], times.to_numpy()]:
        with pytest.raises(ValueError, match="positions " + message):
            SetCollection.from_series(table, positions=positions)
    with pytest.raises(ValueError, match="positions of set 0 " + message):
        SetCollection.from_sets([np.ones((3, 1))], positions=[times])


def test_positions_may_be_an_index_of_pandas():
    index = pd.MultiIndex.from_product([["a", "b"], [0, 1, 2]])
    table = pd.DataFrame({"x": np.arange(6.0)}, index=index)
    times = index.get_level_values(1)
    sets = SetCollection.from_series(table, positions=times / 2)
    assert_array_equal(sets.positions.ravel(), [0, 0.5, 1] * 2)


def test_gaps_of_padded_series_are_imputed_without_their_padding():
    series = np.arange(24.0).reshape(2, 2, 6)
    series[0, :, 4:] = np.nan
    series[1, 0, 2] = np.nan
    with pytest.raises(ValueError, match=r"keep them: (.*)\.$") as caught:
        SetCollection.from_series(series, time_axis=-1)
    code = str(caught.value).rpartition("keep them: ")[2].rstrip(".")
    kept = eval(code, {"np": np, "X": series, "SetCollection": SetCollection})
    assert_array_equal(kept.lengths, [4, 6])
    assert np.isnan(kept.values).sum() == 1


@pytest.mark.parametrize("time_axis", [-1, -2])
def test_steps_of_nan_in_front_of_and_inside_padded_series(time_axis):
    def suggested(steps):
        X = np.swapaxes(steps, 1, 2) if time_axis == -1 else steps
        with pytest.raises(ValueError, match=r"before its end; expected") as caught:
            SetCollection.from_series(X, time_axis=time_axis)
        code = re.search(r"(SetCollection\.from_padded.*)\.$", str(caught.value))[1]
        return eval(code, {"np": np, "X": X, "SetCollection": SetCollection})

    front = np.full((3, 6, 2), NAN)
    for rows, x in zip(front, STEPS):
        rows[6 - len(x) :] = x
    assert_same_sets(suggested(front), STEPS)
    inside = padded(STEPS)
    inside[0, 1] = NAN
    kept = suggested(inside)
    assert_array_equal(kept.lengths, LENGTHS)
    assert_array_equal(np.isnan(kept.values).all(axis=1).nonzero(), [[1]])

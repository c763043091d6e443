"""Draw the pictures of the guide's pages into this folder.

`python docs/images/draw_guide.py` draws all of them, with names only those. Charts of
measurements read the tables of the pages themselves, so that both show the same figures.
"""

import io
import re
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.datasets import load_digit_points, load_peptides
from otk_sklearn.display import ImportanceDisplay, SupportsDisplay, TransportPlanDisplay

FOLDER = Path(__file__).parent
# The colour-blind-safe palette of Okabe and Ito.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
GREY = "#999999"


def read_table(page, start):
    """Cells of the first table on a page whose header starts so, row by row."""
    lines = (FOLDER.parent / page).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(start))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            return rows[:1] + rows[2:]  # without the line below the header
        rows.append([cell.strip(" *") for cell in line.strip("|").split("|")])
    return rows[:1] + rows[2:]


def number(cell):
    return float(re.match(r"-?[\d.]+", cell.replace(",", "")).group())


def new_figure(*shape, size, **kwargs):
    return plt.subplots(*shape, figsize=size, layout="constrained", **kwargs)


# Sets, and how they are compared.


def draw_sets():
    """Three sets of points, and the array and offsets that hold them."""
    rng = np.random.default_rng(2)
    names, lengths, colors = ["b", "a", "c"], [4, 6, 3], [BLUE, ORANGE, GREEN]
    figure, axes = new_figure(1, 4, size=(8, 2.2), width_ratios=[1, 1, 1, 1.9])
    for ax, name, n, color in zip(axes, names, lengths, colors):
        ax.scatter(*rng.uniform(0.15, 0.85, size=(2, n)), s=45, color=color)
        ax.set(title=f'"{name}": {n} elements', xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set(xticks=[], yticks=[])
    packed = axes[-1]
    offsets = np.cumsum([0, *lengths])
    for start, n, color in zip(offsets, lengths, colors):
        packed.barh(np.arange(start, start + n), 1, height=0.9, color=color)
    packed.set(xlim=(-0.2, 1.2), ylim=(13.2, -0.7), xticks=[], title="SetCollection")
    packed.set_yticks(offsets[:-1], [f"offset {i}" for i in offsets[:-1]])
    packed.spines[:].set_visible(False)
    return figure


def draw_sequences():
    """Windows of three steps, and plans of a sequence with and without positions."""
    rng = np.random.default_rng(0)
    steps = np.repeat(np.array([[0.0, 2.0], [2.0, 0.0]] * 2), 5, axis=0)
    sequences = [steps + 0.3 * rng.normal(size=steps.shape) for _ in range(30)]
    figure, axes = new_figure(1, 3, size=(8, 2.5), width_ratios=[1.5, 1, 1])
    ax = axes[0]
    ax.scatter(range(8), np.zeros(8), s=90, color=GREY)
    for start, color in zip([0, 1, 2], [BLUE, ORANGE, GREEN]):
        height = -0.35 - 0.3 * start
        ax.plot([start, start + 2], [height] * 2, color=color, lw=7, solid_capstyle="round")
        ax.text(start + 2.5, height, f"element {start}", va="center", color=color)
    ax.set(title="filter_size=3", xlim=(-0.6, 7.6), ylim=(-1.3, 0.4))
    ax.set(xticks=range(8), yticks=[], xlabel="step")
    for ax, title, parameters in [
        (axes[1], "no positions", {}),
        (axes[2], 'position="gaussian"', {"position": "gaussian"}),
    ]:
        embedding = OTKEmbedding(4, n_components=16, random_state=0, **parameters)
        plan = embedding.fit(sequences).transport_plan(sequences[:1])[0][0]
        ax.imshow(plan.T, aspect="auto", cmap="Blues", vmin=0)
        ax.set(title=title, xlabel="step", ylabel="support", yticks=range(4))
    return figure


def draw_images():
    """A digit, and which pixels supports receive with positions."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:300, :, :, np.newaxis] / 16
    figure, axes = new_figure(2, 4, size=(6.6, 3.3))
    plans = {}
    for row, (title, parameters) in enumerate(
        {"no positions": {}, 'position="gaussian"': {"position": "gaussian"}}.items()
    ):
        embedding = OTKEmbedding(
            16, n_components=16, max_iter=1000, random_state=0, **parameters
        )
        plans[row] = embedding.fit(images).transport_plan(images[3:4])[0][0]
        axes[row, 0].imshow(images[3, :, :, 0], cmap="gray_r")
        axes[row, 0].set_ylabel(title)
        for ax, support in zip(axes[row, 1:], [1, 5, 14]):
            mass = plans[row][:, support].reshape(8, 8)
            ax.imshow(mass, cmap="Blues", vmin=0)
            ax.set_title(f"mass to support {support}", fontsize=9)
    axes[0, 0].set_title("image", fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure


def draw_scales():
    """Which support elements go to, when one feature is in thousands."""
    rng = np.random.default_rng(1)
    centers = np.array([[2000, 0.0], [2000, 1.0], [6000, 0.0], [6000, 1.0]])
    x = np.repeat(centers, 15, axis=0) + rng.normal(size=(60, 2)) * [900, 0.1]
    figure, axes = new_figure(1, 2, size=(7, 2.6), sharey=True)
    for ax, title, prepare in [
        (axes[0], "features as they are", None),
        (axes[1], "ElementTransformer(StandardScaler())", StandardScaler()),
    ]:
        scaled = x if prepare is None else prepare.fit_transform(x)
        embedding = OTKEmbedding(4, n_components=16, random_state=0).fit([scaled])
        support = embedding.transport_plan([scaled])[0][0].argmax(axis=1)
        ax.scatter(*x.T, s=30, c=[[BLUE, ORANGE, GREEN, PINK][j] for j in support])
        ax.set(title=title, xlabel="feature in thousands")
    axes[0].set_ylabel("feature around 1")
    figure.suptitle("colour: the support that receives most of an element", fontsize=10)
    return figure


def draw_noise():
    """The mass that outlying elements keep."""
    rng = np.random.default_rng(0)
    kinds = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.5]])
    sets = [
        np.repeat(kinds, 12, axis=0) + 0.4 * rng.normal(size=(36, 2)) for _ in range(20)
    ]
    noisy = np.vstack([sets[0], rng.normal([5.5, 4.5], 0.5, size=(6, 2))])
    embedding = OTKEmbedding(3, n_components=24, random_state=0).fit(sets)
    figure, axes = new_figure(1, 3, size=(7.5, 2.6), sharey=True)
    for ax, relaxation in zip(axes, [None, 1.0, 0.1]):
        embedding.set_params(relaxation=relaxation)
        mass = embedding.transport_plan([noisy])[0][0].sum(axis=1)
        ax.scatter(
            *noisy.T, s=1500 * mass, color=[BLUE] * 36 + [ORANGE] * 6, alpha=0.7, lw=0
        )
        ax.set(title=f"relaxation={relaxation}", aspect="equal", xticks=[], yticks=[])
        ax.set_xlabel(f"mass of the noise: {mass[36:].sum():.2f}")
    return figure


# Explanations of predictions.


def draw_peptide():
    """Residues of magainin 2, by their contribution to the class of antimicrobials."""
    letters = "ACDEFGHIKLMNPQRSTVWY"
    _, y, sequences = load_peptides()
    _, first = np.unique(sequences, return_index=True)
    chosen = np.random.default_rng(0).permutation(first)[:1000]
    X = SetCollection.from_sequences(sequences[chosen].tolist(), letters)
    model = make_pipeline(
        OTKEmbedding(
            20,
            n_components=64,
            kernel="homogeneous",
            gamma=1.4,
            filter_size=5,
            padding="same",
            epsilon=0.1,
            random_state=0,
        ),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    ).fit(X, y[chosen])
    magainin = "GIGKFLHSAKKFGKAFVGEIMNS"
    figure, ax = new_figure(size=(7, 2.4))
    ImportanceDisplay.from_estimator(
        model,
        SetCollection.from_sequences([magainin], letters),
        index=0,
        element_names=magainin,
        ax=ax,
    )
    ax.set_title("magainin 2: what each residue adds to the decision", fontsize=10)
    return figure


def draw_motion():
    """A recording of a smartwatch, and the contributions of its steps."""
    from sktime.datasets import load_basic_motions

    channels, y = load_basic_motions("train", return_type="numpy3D")
    test, y_test = load_basic_motions("test", return_type="numpy3D")
    model = make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(10, filter_size=5, random_state=0),
        StandardScaler(with_std=False),
        LogisticRegression(max_iter=1000),
    ).fit(SetCollection.from_series(channels, time_axis=-1), y)
    X = SetCollection.from_series(test, time_axis=-1)
    index = int(np.flatnonzero(y_test == "badminton")[0])
    figure, (above, below) = new_figure(2, 1, size=(7, 3.4), sharex=True)
    above.plot(test[index].T, lw=1)
    above.set(ylabel="six channels", title="one recording of badminton")
    ImportanceDisplay.from_estimator(model, X, index=index, target="badminton", ax=below)
    below.set(title="", xlabel="step", ylabel="contribution")
    return figure


def draw_displays():
    """Three displays of one model of digits."""
    X, y = load_digit_points()
    chosen = np.flatnonzero(np.isin(y, [3, 8]))
    X, y = X[chosen], y[chosen]
    model = make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(n_supports=8, random_state=0),
        StandardScaler(with_std=False),
        LogisticRegression(max_iter=1000),
    ).fit(X[:200], y[:200])
    figure, axes = new_figure(1, 3, size=(9, 3.1))
    columns = {"columns": (1, 0)}
    TransportPlanDisplay.from_estimator(model, X, index=300, ax=axes[0], **columns)
    SupportsDisplay.from_estimator(model, X[:200], ax=axes[1], **columns)
    ImportanceDisplay.from_estimator(model, X, index=300, ax=axes[2], **columns)
    titles = ["TransportPlanDisplay", "SupportsDisplay", "ImportanceDisplay"]
    for ax, title in zip(axes, titles):
        ax.set_title(title, fontsize=10)
        ax.yaxis.set_inverted(True)
        ax.set(xlabel="column", ylabel="row")
    figure.axes[-1].set_ylabel("contribution")
    return figure


# Diagrams.


def draw_boxes(rows, size):
    """Rows of boxes with arrows from each to the next; None leaves a place empty."""
    figure, ax = plt.subplots(figsize=size)
    figure.subplots_adjust(0, 0, 1, 1)
    n_columns = max(len(row) for row in rows)
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            if entry is None:
                continue
            text, color = entry
            box = FancyBboxPatch(
                (j + 0.07, -i - 0.33), 0.76, 0.66, "round,pad=0.02", fc=color, ec="none"
            )
            ax.add_patch(box)
            ax.text(j + 0.45, -i, text, ha="center", va="center", fontsize=9)
            if j and row[j - 1] is not None:
                arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
                ax.annotate("", (j + 0.04, -i), (j - 0.14, -i), arrowprops=arrow)
    ax.set(xlim=(0, n_columns - 0.05), ylim=(-len(rows) + 0.4, 0.6))
    ax.axis("off")
    return figure


PALE_BLUE, PALE_ORANGE, PALE_GREY = "#CFE3F1", "#FBE5BC", "#E8E8E8"


def draw_network():
    return draw_boxes(
        [
            [
                ("sets of\nvectors", PALE_GREY),
                ("nn.Linear\neach element", PALE_ORANGE),
                ("OTKPooling\n10 supports", PALE_BLUE),
                ("nn.Flatten", PALE_ORANGE),
                ("nn.Linear\nlogits", PALE_ORANGE),
            ],
            [
                ("(n_elements,\n128)", "white"),
                ("(n_elements,\n64)", "white"),
                ("(n_sets,\n10, 64)", "white"),
                ("(n_sets,\n640)", "white"),
                ("(n_sets,\n2)", "white"),
            ],
        ],
        (8, 1.9),
    )


def draw_batches():
    return draw_boxes(
        [
            [
                ("files, batches,\npartitions", PALE_GREY),
                ("iter_sets\ncomplete sets", PALE_ORANGE),
                ("SetSampler\nsample", PALE_ORANGE),
                ("OTKEmbedding\n.fit", PALE_BLUE),
            ],
            [
                ("files, batches,\npartitions", PALE_GREY),
                ("iter_sets\ncomplete sets", PALE_ORANGE),
                ("BatchTransformer\n.transform", PALE_BLUE),
                ("files,\nembeddings", PALE_GREY),
            ],
        ],
        (8, 2),
    )


def draw_tools():
    return draw_boxes(
        [
            [
                ("sets", PALE_GREY),
                ("GridSearchCV,\ncross_val_score, ...", PALE_ORANGE),
                ("OTKEmbedding", PALE_BLUE),
                ("classifier", PALE_ORANGE),
            ],
            [
                ("sets", PALE_GREY),
                ("OTKEmbedding", PALE_BLUE),
                ("BaggingClassifier,\nRFE, SMOTE, ...", PALE_ORANGE),
                None,
            ],
        ],
        (8, 2),
    )


# Charts of the pages' tables.


def draw_accuracy():
    """Accuracy of four poolings, from the table at the top of the page."""
    table = read_table("accuracy.md", "| | JapaneseVowels")
    rows = {row[0]: [number(cell) for cell in row[1:]] for row in table[1:]}
    shown = {
        "mean, std": GREY,
        "KernelMean": ORANGE,
        "SlicedWasserstein": GREEN,
        "OTKEmbedding": BLUE,
    }
    figure, ax = new_figure(size=(8, 3))
    places = np.arange(len(table[0]) - 1)
    for i, (name, color) in enumerate(shown.items()):
        ax.bar(places + 0.2 * (i - 1.5), rows[name], 0.2, color=color, label=name)
    names = [re.sub(" |(?<=[a-z])(?=[A-Z])", "\n", name) for name in table[0][1:]]
    ax.set_xticks(places, names, fontsize=8)
    ax.set(ylabel="test accuracy", ylim=(0, 1.05))
    figure.legend(ncols=4, loc="outside upper center", frameon=False)
    return figure


def draw_defaults():
    """Accuracy by each of three parameters, from the table of OTKEmbedding."""
    table = read_table("defaults.md", "| OTKEmbedding |")
    problems = ["JapaneseVowels", "digits", "MNIST points", "AMPvsUniProt", "AMPvsTM"]
    columns = [table[0].index(problem) for problem in problems]
    defaults = {"n_supports": 50, "epsilon": 0.05, "gamma": 1}
    curves, parameter = {}, None
    for row in table[1:]:
        parameter = row[0].strip("`") or parameter
        curves.setdefault(parameter, []).append(row)
    figure, axes = new_figure(1, 3, size=(8, 2.8), sharey=True)
    for ax, (parameter, default) in zip(axes, defaults.items()):
        values = [number(row[1]) for row in curves[parameter]]
        for problem, j, color in zip(problems, columns, [BLUE, GREEN, ORANGE, PINK, GREY]):
            scores = [number(row[j]) for row in curves[parameter]]
            ax.plot(values, scores, "o-", ms=4, color=color, label=problem)
        ax.axvline(default, color="black", lw=0.8, ls=":")
        ax.set(xscale="log", xlabel=parameter)
        ax.set_xticks(values, [f"{value:g}" for value in values], fontsize=8)
        ax.minorticks_off()
    axes[2].set_xlabel("gamma / median heuristic")
    axes[0].set_ylabel("accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=5, loc="outside upper center", frameon=False)
    return figure


def draw_training():
    """Accuracy with and without labels by the number of supports."""
    figure, axes = new_figure(1, 3, size=(8, 2.6))
    for ax, name in zip(axes, ["digits", "JapaneseVowels", "peptides"]):
        table = read_table("training.md", f"| {name} (")[1:]
        supports = [str(int(number(row[0]))) for row in table]
        ax.plot(supports, [number(row[1]) for row in table], "o-", color=GREY)
        ax.plot(supports, [number(row[2]) for row in table], "o-", color=BLUE)
        ax.set(title=name, xlabel="supports")
    axes[0].set_ylabel("accuracy")
    figure.legend(
        axes[0].lines,
        ["OTKEmbedding", "OTKClassifier"],
        ncols=2,
        loc="outside upper center",
        frameon=False,
    )
    return figure


def draw_speed():
    """Times of others as multiples of that of `transform`."""
    table = read_table("speed.md", "| | protein-like")
    chosen = [row for row in table[1:] if row[1].startswith("x ")]
    figure, ax = new_figure(size=(8, 3.2))
    places = np.arange(len(chosen))
    for i, (name, color) in enumerate(zip(table[0][1:], [BLUE, ORANGE, GREEN])):
        times = [number(row[1 + i].removeprefix("x ")) for row in chosen]
        ax.barh(places + 0.25 * (i - 1), times, 0.25, color=color, label=name)
    ax.axvline(1, color="black", lw=0.8)
    ax.set_yticks(places, [row[0].replace("`", "") for row in chosen])
    ax.set(xscale="log", xlabel="time, in multiples of that of OTKEmbedding.transform")
    ax.set_xticks([1, 10, 100], ["1", "10", "100"])
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="upper right")
    return figure


def draw_networks():
    """Accuracy of networks by their pooling, in two sizes of training data."""
    many = read_table("networks.md", "| pooling | learning rate")[1:]
    few = read_table("networks.md", "| pooling | settings")[1:]
    names = list(dict.fromkeys(row[0] for row in few))
    first = {name: next(row for row in few if row[0] == name) for name in names}
    large = {row[0]: row for row in many}
    figure, axes = new_figure(1, 2, size=(8, 2.7), sharey=True)
    for ax, rows, title in [
        (axes[0], first, "300 sequences a factor"),
        (axes[1], large, "3,000 sequences a factor"),
    ]:
        scores = [number(rows[name][2]) for name in names]
        colors = [BLUE if name.startswith("transport") else GREY for name in names]
        ax.barh(names, scores, color=colors)
        ax.bar_label(ax.containers[0], fmt="%.3f", padding=2, fontsize=8)
        ax.set(title=title, xlabel="test accuracy", xlim=(0, 0.9))
    axes[0].invert_yaxis()
    return figure


def draw_paper():
    """Scores of all methods on four problems of the paper's experiments."""
    figure, axes = new_figure(2, 2, size=(9, 7))
    for ax, (start, column, title) in zip(
        axes.flat,
        [
            ("| remote homology |", 2, "remote homology, top 1 in %"),
            ("| SCOP 1.75 | all", 1, "SCOP 1.75, top 1 in %"),
            ("| phrases |", 2, "SST-2, phrases, accuracy"),
            ("| ENCODE, bound or not |", 1, "ENCODE, bound or not, auROC"),
        ],
    ):
        rows = read_table("paper.md", start)[1:]
        for place, row in enumerate(rows):
            mean, *deviation = map(float, re.findall(r"[\d.]+", row[column]))
            color = color_of(row[0])
            ax.errorbar(mean, place, xerr=deviation or None, fmt="o", ms=5, color=color)
        names = [re.sub(": the paper's setting|`", "", row[0]) for row in rows]
        ax.set_yticks(range(len(rows)), names, fontsize=7)
        ax.invert_yaxis()
        ax.grid(axis="x", lw=0.4)
        ax.set_title(title, fontsize=9, loc="right")
    shown = {"transport": BLUE, "attention": ORANGE, "kernel mean": GREEN, "network": PINK}
    shown["other"] = GREY
    handles = [
        plt.Line2D([], [], marker="o", ls="", color=color, label=name)
        for name, color in shown.items()
    ]
    figure.legend(handles=handles, ncols=5, loc="outside upper center", frameon=False)
    return figure


def color_of(method):
    """Return the colour of a method by its name."""
    colors = {
        "network": PINK,
        "attention": ORANGE,
        "softmax": ORANGE,
        "transport": BLUE,
        "supports": BLUE,
        "OTKEmbedding": BLUE,
        "kernel mean": GREEN,
        "KernelMean": GREEN,
    }
    return next((colors[word] for word in colors if word in method), GREY)


def draw_tokens():
    """Loss on held-out tweets and reviews by the number of features."""
    table = read_table("guide/token_vectors.md", "| | sentences: accuracy")[1:]
    figure, ax = new_figure(size=(7, 3.2))
    layers = None
    for row in table:
        if "layer" in row[0]:
            layers = row[0].split(",")[0]
        ours = "transport" in row[0] or "OTKEmbedding()" in row[0]
        attention = "attention" in row[0] or "softmax" in row[0]
        color = BLUE if ours else ORANGE if attention else GREY
        marker = "o" if layers == "three layers" else "^"
        ax.scatter(number(row[5]), number(row[4]), s=40, c=color, marker=marker)
    trained = read_table("guide/token_vectors.md", "| | 10,000 phrases: accuracy")[-1]
    ax.scatter(640, number(trained[8]), s=60, c="black", marker="*")
    handles = [
        plt.Line2D([], [], marker=marker, color=color, ls="", label=label)
        for marker, color, label in [
            ("^", GREY, "last layer"),
            ("o", GREY, "last three layers"),
            ("s", BLUE, "transport"),
            ("s", ORANGE, "attention"),
            ("s", GREY, "mean, other poolings"),
            ("*", "black", "last three layers, OTKClassifier()"),
        ]
    ]
    ax.legend(handles=handles, fontsize=8, frameon=False, loc="upper right")
    ax.set(xscale="log", xlabel="features of a text", ylabel="loss, tweets and reviews")
    ticks = [500, 1000, 2000, 4000, 10000]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    return figure


def save(figure, path):
    """With 128 colours, files are small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(128).save(path, optimize=True)


PICTURES = {
    name.removeprefix("draw_"): function
    for name, function in list(globals().items())
    if name.startswith("draw_") and name != "draw_boxes"
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        save(PICTURES[name](), FOLDER / f"guide_{name}.png")

"""Images: positions of pixels
===========================

Each image of an array of shape (n_images, height, width, n_channels) is a set of
pixels, with positions on a grid. By default, positions are ignored.
With `position`, supports lie on a grid as well, and pixels are sent to
nearby supports. How much do positions matter, and how large should `position_sigma` be?
"""

# %%
# Pixels with and without positions
# ---------------------------------
# Handwritten digits of 8 x 8 pixels in one channel. Without positions, this is a bag of
# intensities. With positions, 36 supports lie on a grid of 6 x 6, and `position_sigma` is
# their range, as a fraction of the side of an image.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import OTKEmbedding
from otk_sklearn.display import ImportanceDisplay, TransportPlanDisplay

digits = load_digits()
images, y = digits.images[:900, :, :, np.newaxis] / 16, digits.target[:900]
print(images.shape)


def make_classifier(n_supports=36, **params):
    return make_pipeline(
        OTKEmbedding(n_supports, n_components=8, random_state=0, max_iter=1000, **params),
        StandardScaler(with_std=False),
        LogisticRegression(max_iter=1000),
    )


accuracy = {"no places": cross_val_score(make_classifier(), images, y, cv=3).mean()}
for sigma in [0.4, 0.2, 0.1, 0.05]:
    classifier = make_classifier(position="gaussian", position_sigma=sigma)
    accuracy[f"{sigma}"] = cross_val_score(classifier, images, y, cv=3).mean()
flat = LogisticRegression(max_iter=1000)
pixels = images.reshape(len(images), -1)
accuracy["pixels as\nfeatures"] = cross_val_score(flat, pixels, y, cv=3).mean()

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
bars = ax.bar(list(accuracy), list(accuracy.values()), color=["0.6"] + 4 * ["C0"] + ["0.6"])
ax.bar_label(bars, fmt="%.3f")
ax.set(xlabel="position_sigma", ylabel="accuracy", ylim=(0, 1.08))
plt.show()

# %%
# Positions are essential here. With a small `position_sigma`, pixels between
# supports reach none of them, and are ignored; a large one blurs. Either way, a linear
# classifier of the pixels themselves does better: in aligned images of one size, each pixel
# is a feature, and there is no need for sets.
#
# The effect on the plan
# ----------------------
# To have few colours, with nine supports on a grid of 3 x 3, numbered row by row. Each
# pixel has the colour of the support that receives most of its mass, the paler the smaller
# this share.
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.7), layout="constrained")
axes[0].imshow(images[0, :, :, 0], cmap="gray_r")
axes[0].set(title="image", xticks=[], yticks=[])
for sigma, ax in zip([0.4, 0.1], axes[1:]):
    classifier = make_classifier(9, position="gaussian", position_sigma=sigma)
    TransportPlanDisplay.from_estimator(
        classifier.fit(images, y), images, index=0, ax=ax, colorbar=ax is axes[-1]
    )
    ax.set(title=f"position_sigma={sigma}", xlabel="", ylabel="", xticks=[], yticks=[])
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# With the large `position_sigma`, pixels are assigned to supports by intensity, too; with
# the small one, to the nearest support.
#
# Contributions of pixels
# -----------------------
# With 36 supports, the contribution of each pixel to the decision for the predicted digit:
# red is for it, blue against it.
classifier = make_classifier(position="gaussian", position_sigma=0.1).fit(images, y)
figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.3), layout="constrained")
for index, (above, below) in enumerate(axes.T):
    above.imshow(images[index, :, :, 0], cmap="gray_r")
    display = ImportanceDisplay.from_estimator(
        classifier, images, index=index, ax=below, colorbar=False
    )
    below.set_title(display.target_name, fontsize="medium")
    for ax in (above, below):
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
plt.show()

# %%
# White pixels contribute, too: they are elements as well, and empty regions distinguish
# digits.

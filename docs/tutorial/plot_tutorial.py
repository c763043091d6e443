"""
Ten-minute tutorial
===================

From a table to a score.
"""

# %%
# Placeholder.
import matplotlib.pyplot as plt

plt.plot([1, 2])

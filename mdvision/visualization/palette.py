"""The colors of all figures."""

__all__ = ['COLORS']

# Okabe and Ito's colors, which color-blind readers can tell apart on white (so without their yellow); the
# last ones also differ in lightness.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#8C6D31', '#999999',
          '#882255', '#332288')  # fmt: skip

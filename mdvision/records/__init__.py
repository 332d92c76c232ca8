"""Published numbers, and the pages of this repository that are generated from them."""

"""DEMS-ViT-S: twice the width of tiny.py, and half the tokens after the second merge."""

_base_ = './tiny.py'

model = dict(backbone=dict(embed_dim=384, num_heads=6, merge_counts=(64, 32)))

"""DEMS-ViT-S from scratch: as pretrain_tiny.py, with stronger colour augmentation."""

_base_ = './pretrain_tiny.py'

model = dict(backbone=dict(embed_dim=384, num_heads=6, merge_counts=(64, 32)))
colour = [dict(step, start=0.8) for step in _base_.colour]

"""DEMS-ViT-Ti after its pre-training: images as they are, resized only; more stochastic depth."""

_base_ = ['./tiny.py', '../../_base_/schedules/dems_finetune.py']

model = dict(backbone=dict(drop_path_rate=0.2, attn_drop_rate=0.0))

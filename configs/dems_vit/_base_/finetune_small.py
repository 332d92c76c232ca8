"""DEMS-ViT-S after its pre-training, as finetune_tiny.py."""

_base_ = ['./small.py', '../../_base_/schedules/dems_finetune.py']

model = dict(backbone=dict(drop_path_rate=0.2, attn_drop_rate=0.0))

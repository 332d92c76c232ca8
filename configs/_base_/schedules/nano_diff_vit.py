"""The small ViT with self- or differential attention: AdamW at 3e-4 and a cosine to 0 over the training.

    train_cfg = dict(max_epochs=30)

is all that another length needs: without T_max the cosine ends with the training. The authors take
10 epochs for MNIST and 30 for FashionMNIST at batch 256 (current tables), 20 and 30 at batch 128
(first tables). Their rate does not depend on the batch.

Weight decay acts on every parameter; betas and eps are torch's own. The authors' loader does not
shuffle the training set, and they test the weights of the last epoch.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.999), weight_decay=0.1)
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=256)

"""Learning rate by batch, mixed precision and averaged weights."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from mdvision import UserError
from mdvision.commands import switches
from mdvision.commands.switches import scale_learning_rate, use_amp, use_ema
from mdvision.config.learning_rate import learning_rate_line
from mdvision.engine import optim_wrappers


def config(batch=4, summed=None, **auto) -> Config:
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    if summed:
        wrapper['accumulative_counts'] = summed
    return Config(
        dict(train_dataloader=dict(batch_size=batch), optim_wrapper=wrapper, auto_scale_lr=auto or None)
    )


def test_a_rate_follows_the_batch_unless_the_config_forbids_it():
    cfg = config(base_batch_size=8)
    scale_learning_rate(cfg)
    assert cfg.auto_scale_lr.enable is True
    line = learning_rate_line(cfg, processes=1)
    assert line == 'the learning rate is for a batch of 8; with 4 it is multiplied by 0.5'
    assert learning_rate_line(cfg, processes=2) is None

    cfg = config(base_batch_size=8, enable=False)
    scale_learning_rate(cfg)
    assert cfg.auto_scale_lr.enable is False
    line = learning_rate_line(cfg, processes=1)
    assert line.endswith('with 4 it is not scaled because auto_scale_lr.enable=False')
    scale_learning_rate(cfg, asked_for=True)
    assert cfg.auto_scale_lr.enable is True


def test_iterations_whose_gradients_are_summed_are_one_batch():
    cfg = config(base_batch_size=8, summed=2)
    scale_learning_rate(cfg)
    assert learning_rate_line(cfg, processes=1) is None
    assert 'with 16 it is multiplied by 2' in learning_rate_line(cfg, processes=2)


def test_a_config_without_a_base_batch_is_left_alone():
    cfg = config()
    scale_learning_rate(cfg)
    assert cfg.auto_scale_lr is None
    assert learning_rate_line(cfg, processes=8) is None
    with pytest.raises(UserError, match='base_batch_size'):
        scale_learning_rate(cfg, asked_for=True)


@pytest.mark.fault('3.19')
def test_half_precision_is_refused_on_a_cpu_with_the_way_out(monkeypatch):
    monkeypatch.setattr(switches, 'is_cuda_available', lambda: False)
    with pytest.raises(UserError, match='--amp bf16'):
        use_amp(config(), 'fp16')
    cfg = config()
    use_amp(cfg, None)
    assert 'type' not in cfg.optim_wrapper
    use_amp(cfg, 'bf16')
    assert cfg.optim_wrapper.type == 'mdvision.BFloat16OptimWrapper'


def test_half_precision_on_a_gpu_scales_the_loss(monkeypatch):
    monkeypatch.setattr(switches, 'is_cuda_available', lambda: True)
    cfg = config()
    use_amp(cfg, 'fp16')
    wanted = dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    assert {key: cfg.optim_wrapper[key] for key in wanted} == wanted


def test_bfloat16_computes_in_it_and_keeps_the_weights_in_float32(monkeypatch):
    monkeypatch.setattr(optim_wrappers, 'get_device', lambda: 'cpu')
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    wrapper = optim_wrappers.BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    assert isinstance(wrapper, OptimWrapper)
    with wrapper.optim_context(model):
        out = model(torch.ones(3, 4))
        loss = out.float().square().mean()
    assert out.dtype == torch.bfloat16
    wrapper.update_params(loss)
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)


def test_an_average_replaces_the_one_of_the_config():
    cfg = config()
    use_ema(cfg, None)
    assert 'custom_hooks' not in cfg
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='NumClassCheckHook')]
    use_ema(cfg, 0.01)
    types = [(hook['type'], hook.get('momentum')) for hook in cfg.custom_hooks]
    assert types == [('NumClassCheckHook', None), ('mmengine.EMAHook', 0.01)]
    with pytest.raises(UserError, match='between 0 and 1'):
        use_ema(cfg, 2.0)

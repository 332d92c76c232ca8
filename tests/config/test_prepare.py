"""What the preparation of a config changes besides its overrides."""

from mmengine.config import Config

from mdvision.config import prepare
from mdvision.config.prepare import drop_missing_tensorboard


def test_without_tensorboard_a_run_says_so_and_goes_on(monkeypatch):
    said = []
    monkeypatch.setattr(prepare, 'say', said.append)
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=backends)))
    drop_missing_tensorboard(cfg)
    assert len(cfg.visualizer.vis_backends) == 2
    monkeypatch.setattr(prepare, 'find_spec', lambda name: None)
    drop_missing_tensorboard(cfg)
    assert [b['type'] for b in cfg.visualizer.vis_backends] == ['LocalVisBackend']
    drop_missing_tensorboard(cfg)
    assert len(said) == 1
    assert 'no TensorBoard charts' in said[0]

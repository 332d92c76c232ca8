"""Key maps account for every key."""

import pytest
import torch

from mdvision import UserError
from mdvision.converters import convert_state_dict, list_converters


def test_the_prefix_of_data_parallel_is_dropped():
    assert list(convert_state_dict('emanet50_cifar', {'module.fc.weight': torch.zeros(10, 8)})) == [
        'head.fc.weight'
    ]


def test_a_key_of_another_model_is_an_error_that_names_it():
    with pytest.raises(UserError, match=r'1 of 2 keys .* namely features\.0\.weight'):
        convert_state_dict(
            'emanet50_cifar', {'fc.bias': torch.zeros(10), 'features.0.weight': torch.zeros(1)}
        )


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UserError, match="Did you mean 'emanet50_cifar'"):
        convert_state_dict('emanet50_cifr', {})
    assert 'emanet50_cifar' in list_converters()


def test_detector_rows_move_the_background_to_the_end():
    scores = torch.arange(4.0)[:, None]  # background, then classes 1, 2, 3
    boxes = torch.arange(16.0)[:, None]
    objectness = torch.arange(6.0)[:, None, None, None]  # three anchors: (background, object) each
    out = convert_state_dict(
        'emanet50_c4_detector',
        {'head.score.weight': scores, 'head.cls_loc.weight': boxes, 'rpn.score.weight': objectness},
    )
    assert out['roi_head.bbox_head.fc_cls.weight'].flatten().tolist() == [1, 2, 3, 0]
    assert out['roi_head.bbox_head.fc_reg.weight'].flatten().tolist() == [*range(4, 16), 0, 1, 2, 3]
    assert out['rpn_head.rpn_cls.weight'].flatten().tolist() == [1, 0, 3, 2, 5, 4]

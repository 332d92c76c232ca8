"""mmdet's box arithmetic, as the C4 detector's config sets it up, is that of the authors' detector.

The fixture was computed in float32 (N boxes, G ground truths, R regions). Where mmdet keeps the
dtype the comparison is in float64. mmdet's coder encodes in float32.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

FIXTURE = Path(__file__).parents[1] / 'data' / 'golden' / 'frcnn_utils.npz'
CONFIG = 'configs/emanet/faster_rcnn_c4_voc.py'


class Fixture:
    def __init__(self):
        with np.load(FIXTURE, allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.meta = json.loads(str(self.arrays.pop('meta')))

    def __getitem__(self, name: str) -> torch.Tensor:
        """An array as it is stored, reals widened to float64."""
        tensor = torch.from_numpy(np.asarray(self.arrays[name]))
        return tensor.double() if tensor.is_floating_point() else tensor.long()


@pytest.fixture(scope='module')
def data():
    return Fixture()


@pytest.fixture
def model():
    """The model section of the config, filled from its backbone, with mmdet's names in scope."""
    from mdvision.detectors import fit_to_backbone

    init_default_scope('mmdet')
    return ConfigDict(fit_to_backbone(Config.fromfile(CONFIG).model))


def check(got: torch.Tensor, want: torch.Tensor) -> None:
    """Equal shapes, and values within 1e-6 of the wanted one (of 1 where that is smaller)."""
    assert got.shape == want.shape
    error = (got.double() - want).abs() / want.abs().clamp(min=1)
    assert error.max() <= 1e-6


def test_anchors_of_one_position(data, model):
    generator = TASK_UTILS.build(model.rpn_head.anchor_generator)
    check(generator.base_anchors[0], data['anchor_base'])


def test_anchors_of_a_map(data, model):
    generator = TASK_UTILS.build(model.rpn_head.anchor_generator)
    (anchors,) = generator.grid_priors([(2, 3)], dtype=torch.float64, device='cpu')
    check(anchors, data['anchors_2x3'])


def test_decoding_of_boxes(data, model):
    # The authors do not limit the sizes; mmdet limits a factor to 62.5, which is not reached here.
    coder = TASK_UTILS.build(model.rpn_head.bbox_coder)
    check(coder.decode(data['boxes'], data['locs']), data['loc2bbox'])


def test_decoding_of_far_larger_boxes(data, model):
    """The limit of mmdet's coder is an argument; without it decoding is unbounded, as the authors'."""
    coder = TASK_UTILS.build(model.rpn_head.bbox_coder)
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0]], dtype=torch.float64)
    offsets = torch.tensor([[0.0, 0.0, 5.0, 5.0]], dtype=torch.float64)
    for limit, factor in (({}, 62.5), (dict(wh_ratio_clip=1e-30), np.exp(5))):
        decoded = coder.decode(box, offsets, **limit)[0]
        check(decoded[2:] - decoded[:2], torch.full((2,), 2 * factor).double())


def test_overlaps(data):
    check(bbox_overlaps(data['boxes'], data['gt']), data['iou'])


def test_encoding_of_boxes(data, model):
    """Each box against the ground truth that it overlaps most."""
    coder = TASK_UTILS.build(model.rpn_head.bbox_coder)
    targets = data['gt'][data['iou'].argmax(1)]
    check(coder.encode(data['boxes'], targets), data['bbox2loc'])
    roi_coder = TASK_UTILS.build(model.roi_head.bbox_head.bbox_coder)
    std = torch.tensor(data.meta['std']).double()
    check(roi_coder.encode(data['boxes'], targets).double() * std, data['bbox2loc'])


def assign(data, model):
    """(overlaps (G, N), result of mmdet's assigner) for the proposals' anchors.

    In float32, as in training and as the authors': many anchors overlap a ground truth equally, and
    which of them is the best one is a matter of the last bit.
    """
    generator = TASK_UTILS.build(model.rpn_head.anchor_generator)
    (anchors,) = generator.grid_priors([data['target_anchor_grid'].tolist()], device='cpu')
    gt = InstanceData(bboxes=data['gt'].float(), labels=torch.zeros(len(data['gt']), dtype=torch.long))
    assigner = TASK_UTILS.build(model.train_cfg.rpn.assigner)
    overlaps = assigner.iou_calculator(gt.bboxes, anchors)
    return overlaps, assigner.assign(InstanceData(priors=anchors), gt)


def test_best_matches_of_anchors(data, model):
    overlaps, result = assign(data, model)
    assert torch.equal(result.max_overlaps.double(), data['target_max_iou'])
    best_overlap, best_gt = overlaps.max(0)
    assert torch.equal(best_overlap, result.max_overlaps)
    assert torch.equal(best_gt, data['target_argmax'])
    assert torch.equal(overlaps.argmax(1), data['target_gt_argmax'])


def test_labels_of_anchors(data, model):
    # The authors make one anchor positive for each ground truth that has none above 0.7. mmdet makes all
    # anchors positive that share the largest overlap, unless told otherwise.
    model.train_cfg.rpn.assigner.gt_max_assign_all = False
    _, result = assign(data, model)
    positive = data['target_label_before_sampling'] == 1
    assert torch.equal(result.gt_inds.clamp(max=1), data['target_label_before_sampling'])
    assert torch.equal(result.gt_inds[positive], data['target_argmax'][positive] + 1)


def test_all_equal_anchors_are_positive_with_gt_max_assign_all(data, model):
    """What the difference above is: further positives, each as good as a best one, and nothing else."""
    model.train_cfg.rpn.assigner.gt_max_assign_all = True
    overlaps, result = assign(data, model)
    labels = result.gt_inds.clamp(max=1)
    others = (labels != data['target_label_before_sampling']).nonzero().flatten()
    assert len(others) > 0
    for anchor in others.tolist():
        assert labels[anchor] == 1
        gt = result.gt_inds[anchor] - 1
        assert overlaps[gt, anchor] == overlaps[gt].max()


@pytest.mark.parametrize('head', ['rpn_head', 'bbox_head'])
def test_smooth_l1(data, model, head):
    # The authors divide by the number of positives. mmdet's heads call the same loss with another
    # avg_factor: all sampled anchors or regions, positive and negative.
    cfg = model.rpn_head if head == 'rpn_head' else model.roi_head.bbox_head
    loss = MODELS.build(cfg.loss_bbox)
    positive = data['l1_label'] > 0
    got = loss(data['l1_pred'][positive], data['l1_gt'][positive], avg_factor=max(1, int(positive.sum())))
    check(got, data['l1_loss'])


def predict(data, model):
    """Rows (top, left, bottom, right, score, class), by class and then by falling score."""
    model.roi_head.bbox_head.num_classes = data['dec_roi_scores'].shape[-1] - 1
    head = MODELS.build(model.roi_head.bbox_head)
    test_cfg = model.test_cfg.rcnn
    test_cfg.score_thr = data.meta['confidence']
    height, width = data['dec_input_shape'].tolist()
    scale_height, scale_width = (data['dec_input_shape'] / data['dec_image_shape']).tolist()
    (found,) = head.predict_by_feat(
        rois=(torch.cat([torch.zeros(12, 1), data['dec_rois'][0]], 1),),
        # The authors' background comes first, mmdet's last, and mmdet has no box for it.
        cls_scores=(data['dec_roi_scores'][0].roll(-1, 1),),
        bbox_preds=(data['dec_roi_cls_locs'][0, :, 4:].contiguous(),),
        batch_img_metas=[dict(img_shape=(height, width), scale_factor=(scale_width, scale_height))],
        rcnn_test_cfg=test_cfg,
        rescale=True,
    )
    order = np.lexsort([-found.scores.numpy(), found.labels.numpy()])
    boxes = found.bboxes[:, [1, 0, 3, 2]]
    return torch.cat([boxes, found.scores[:, None], found.labels[:, None].double()], 1)[order]


def test_detections_of_regions(data, model):
    """All 11 scores above the threshold stay: no two boxes of a class overlap enough for NMS to act."""
    assert list(model.roi_head.bbox_head.bbox_coder.target_stds) == data.meta['std']
    assert model.test_cfg.rcnn.nms.iou_threshold == data.meta['nms_iou']
    # The authors do not clip the boxes to the image; mmdet does, unless told otherwise.
    model.roi_head.bbox_head.bbox_coder.clip_border = False
    got, want = predict(data, model), data['dec_out_top_left_bottom_right_conf_label']
    check(got, want)
    assert torch.equal(got[:, 5], want[:, 5])


def test_clipped_detections_of_regions(data, model):
    """With clip_border, mmdet's default: the same detections, cut at the border of the image."""
    model.roi_head.bbox_head.bbox_coder.clip_border = True
    want = data['dec_out_top_left_bottom_right_conf_label']
    height, width = data['dec_image_shape'].tolist()
    limit = torch.tensor([height, width, height, width]).double()
    clipped = torch.minimum(want[:, :4].clamp(min=0), limit)
    assert not torch.equal(clipped, want[:, :4])
    check(predict(data, model), torch.cat([clipped, want[:, 4:]], 1))

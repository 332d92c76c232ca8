"""Shrink the detector of a config, with all its parts, for a check on a CPU."""

from mmengine.config import Config

from mdvision.config.tree import dicts
from mdvision.errors import UserError
from mdvision.registry import build_for_shapes

__all__ = ['cut', 'set_num_classes']

SMALL_WIDTH = 250  # pixels

# Arguments that make a backbone small, in the order in which they are tried: not every attention module
# exists at every width.
_RESNET = [dict(stage_blocks=(1, 1, 1, 1), base_channels=width) for width in (16, 32, 64)]
SMALL_BACKBONES = {
    'AttentionResNet': _RESNET,
    'EMANet': [dict(_RESNET[0], gate_reduction=4, groups=(1, 2, 4, 4))],
    'AttentionMobileNetV2': [dict(width_mult=0.5)],
    'DEMSViTPyramid': [dict(embed_dim=96, num_heads=3, depth=3, window=2)],
    'DiffViT': [dict(embed_dim=96, hidden_dim=192, depth=4)],
}


def cut(cfg: Config, size: tuple[int, int]) -> tuple[int, int]:
    """Make a detector small enough to learn on a CPU in a minute or two, with all its parts.

    The backbone gets few blocks and channels; neck and heads get 64 channels and the neck of an FPN batch
    norms, without which it learns slowly from scratch. Images and anchors shrink by the same factor, to a
    width of at most 250 pixels.

    Args:
        cfg: changed in place.
        size: (width, height) of the images.

    Returns:
        the new size.
    """
    model, factor = cfg.model, min(1.0, SMALL_WIDTH / size[0])
    if model.type not in ('mdvision.FasterRCNN', 'mdvision.RetinaNet'):
        raise UserError(
            f'--small cuts mdvision.FasterRCNN and mdvision.RetinaNet, whose heads follow the neck; this is '
            f'{model.type}. Omit --small.'
        )
    roi_head, neck = model.get('roi_head') or {}, model.get('neck')
    shared = (roi_head.get('shared_head') or {}).get('backbone')
    _cut_backbone([model.backbone, shared] if shared else [model.backbone])
    if neck:
        neck.out_channels = 64
        if neck.type == 'FPN':
            neck.norm_cfg = dict(type='BN')
    for head in (model.get('rpn_head'), model.get('bbox_head')):
        if not head:
            continue
        head.feat_channels = 64
        generator = head.anchor_generator
        if generator.get('octave_base_scale'):
            generator.octave_base_scale *= factor
        else:
            generator.scales = [scale * factor for scale in generator.scales]
    extractor = roi_head.get('bbox_roi_extractor') or {}
    if 'finest_scale' in extractor or 'roi_layer' in extractor:
        extractor.finest_scale = extractor.get('finest_scale', 56) * factor
        extractor.roi_layer.sampling_ratio = 1
    if 'fc_out_channels' in (roi_head.get('bbox_head') or {}):
        roi_head.bbox_head.fc_out_channels = 256
    for part in (model.get('train_cfg') or {}, model.get('test_cfg') or {}):
        for proposals in (part.get('rpn_proposal'), part.get('rpn')):
            if proposals and 'nms_pre' in proposals:
                proposals.update(nms_pre=300, max_per_img=100)
                proposals.min_bbox_size = proposals.get('min_bbox_size', 0) * factor
        sampler = (part.get('rcnn') or {}).get('sampler')
        if sampler:
            sampler.num = min(sampler.num, 64)
    return round(size[0] * factor), round(size[1] * factor)


def _cut_backbone(backbones: list[dict]) -> None:
    """Shrink all backbones equally: a C4 detector has its last stage in a second one."""
    known = SMALL_BACKBONES.get(str(backbones[0]['type']).removeprefix('mdvision.'), [{}])
    for arguments in known:
        tried = [dict(backbone, **arguments) for backbone in backbones]
        try:
            for backbone in tried:
                build_for_shapes(backbone)
        except UserError:
            if arguments is known[-1]:
                raise
            continue
        for backbone in backbones:
            backbone.update(arguments)
        return


def set_num_classes(model: dict, number: int) -> None:
    """Set the number of classes of every head except the proposal head, which has no such key."""
    for part in dicts(model):
        if 'num_classes' in part:
            part['num_classes'] = number

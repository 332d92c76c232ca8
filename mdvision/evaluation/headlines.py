"""The headline metrics of a run: which are shown, in which order, and what they mean."""

__all__ = ['HEADLINES', 'MEANINGS']

MEANINGS = {
    'voc12/mAP50': 'mAP at IoU 0.5 (VOC, area)',
    'voc07/mAP50': 'mAP at IoU 0.5 (VOC 2007, 11 points)',
    'coco/mAP': 'mAP at IoU 0.5:0.95 (COCO)',
    'accuracy/top1': 'top-1 accuracy (%)',
    'accuracy/top5': 'top-5 accuracy (%)',
    'coco/bbox_mAP': 'mAP at IoU 0.5:0.95 (COCO, MMDetection)',
    'pascal_voc/mAP': 'mAP at IoU 0.5 (MMDetection)',
    'loss': 'validation loss',
}
"""What they are, in the order in which they are shown."""

# Curves and comparisons leave out the second protocol of the same boxes, and the loss, which is drawn
# separately.
HEADLINES = tuple(name for name in MEANINGS if name not in ('voc07/mAP50', 'loss'))

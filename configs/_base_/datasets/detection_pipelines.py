"""The end of a detector's test pipeline, behind the Resize of its data set."""

# After Resize, so that the ground truth stays in coordinates of the original image.
boxes_after_resize = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

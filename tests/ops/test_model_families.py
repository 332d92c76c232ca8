"""The table of docs/ops.md: which model families of mmdet train a step and predict with our operators."""

from pathlib import Path

import mmdet
import pytest

from tests.ops.model_families import FAMILIES, NOT_TRIED, rows, run

# Folders of configs that are data sets, schedules or pretraining for models of other folders.
RECIPES = {
    *('albu_example', 'cityscapes', 'common', 'deepfashion', 'dsdl', 'gn', 'gn+ws', 'instaboost'),
    *('legacy_1.x', 'lvis', 'misc', 'objects365', 'openimages', 'pascal_voc', 'resnet_strikes_back'),
    *('scratch', 'seesaw_loss', 'selfsup_pretrain', 'simple_copy_paste', 'strong_baselines', 'v3det'),
    *('wider_face', '_base_'),
}


@pytest.mark.slow
@pytest.mark.parametrize('family', FAMILIES)
def test_the_row_of_the_document_is_what_happens(family):
    """``python -m tests.ops.model_families`` writes the rows anew."""
    assert run(family) == rows()[family]


def test_every_folder_of_configs_is_in_the_table_or_named():
    folders = {path.name for path in (Path(mmdet.__path__[0]) / '.mim/configs').iterdir() if path.is_dir()}
    named = set(FAMILIES) | RECIPES | set(' '.join(NOT_TRIED.values()).split())
    assert folders - named == set()
    assert list(rows()) == list(FAMILIES)


@pytest.mark.fault('O1')
def test_what_the_operators_were_made_for_runs():
    runs = {family for family, result in rows().items() if result == 'runs'}
    assert {'dyhead', 'deformable_detr', 'dino', 'dcn', 'dcnv2', 'faster_rcnn', 'mask_rcnn', 'fcos'} <= runs

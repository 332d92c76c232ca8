"""The generated data set as a config names it."""

from mdvision import MiniVOCDataset
from mdvision.datasets.mini_voc import CLASSES


def test_it_draws_its_data_where_there_is_none_and_reads_it_again(tmp_path):
    settings = dict(
        data_root=str(tmp_path / 'mini'), num_train=5, num_val=2, size=(96, 72), serialize_data=False
    )
    train = MiniVOCDataset(ann_file='ImageSets/Main/train.txt', **settings)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'mini').rglob('*.jpg')}
    val = MiniVOCDataset(ann_file='ImageSets/Main/val.txt', test_mode=True, **settings)
    assert (len(train), len(val)) == (5, 2)
    assert train.metainfo['classes'] == CLASSES
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / 'mini').rglob('*.jpg')}
    assert {i['bbox_label'] for k in range(5) for i in train.get_data_info(k)['instances']} <= {0, 1, 2}

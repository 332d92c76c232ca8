"""What the documents tell a user to do works."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ('.', 'configs', 'docs', 'results')
    for path in (ROOT / folder).glob('*.md' if folder == '.' else '**/*.md')
)


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    targets = [target.split('#')[0] for target in re.findall(r'\]\(([^)]+)\)', text)]
    files = [target for target in targets if target and not target.startswith('http')]
    missing = [target for target in files if not ((ROOT / page).parent / target).exists()]
    assert missing == []
    assert files or page in ('docs/ops.md', 'docs/deviations.md', 'docs/add_a_backbone.md', 'CHANGELOG.md')


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf'```{language}\n(.*?)```', (ROOT / page).read_text(encoding='utf-8'), re.DOTALL)


def test_the_attention_of_the_page_trains_a_detector_from_a_users_folder(tmp_path):
    """docs/add_an_attention.md, to the letter, on a few images."""
    from tests.running import run_tool

    attention, detector, *_ = code_blocks('docs/add_an_attention.md', 'python')
    (tmp_path / 'my_attention.py').write_text(attention)
    # In the page the folder is the project's root, where configs/ lies.
    (tmp_path / 'my_detector.py').write_text(detector.replace('./configs', f'{ROOT}/configs'))
    printed = run_tool(
        'train.py',
        'my_detector.py',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        *(f'{s}_dataloader.dataset.num_train=8' for s in ('train', 'val', 'test')),
        *(f'{s}_dataloader.dataset.num_val=4' for s in ('train', 'val', 'test')),
        cwd=tmp_path,
    )
    assert 'mAP at IoU 0.5' in printed
    assert (tmp_path / 'work_dirs' / 'my_detector' / 'epoch_1.pth').is_file()


def test_the_attention_of_the_page_trains_a_classifier_from_a_users_folder(tmp_path):
    """The other half of the page, on a few pictures."""
    import cv2
    import numpy as np

    from tests.running import run_tool

    attention, _, classifier, *_ = code_blocks('docs/add_an_attention.md', 'python')
    (tmp_path / 'my_attention.py').write_text(attention)
    (tmp_path / 'my_classifier.py').write_text(classifier)
    for index, (split, name) in enumerate([(s, n) for s in ('train', 'val') for n in ('cat', 'dog')] * 16):
        folder = tmp_path / 'data' / 'pictures' / split / name
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.full((20, 24, 3), 60 if name == 'cat' else 200, np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), picture)
    printed = run_tool(
        'train.py', 'my_classifier.py', '--cfg-options', 'train_cfg.max_epochs=1', cwd=tmp_path
    )
    assert 'accuracy/top1' in printed
    assert (tmp_path / 'work_dirs' / 'my_classifier' / 'epoch_1.pth').is_file()


@pytest.fixture(scope='module')
def converted_cells(tmp_path_factory) -> Path:
    """A folder after every conversion of docs/your_data.md, command for command."""
    from tests.running import run_tool

    root = tmp_path_factory.mktemp('cells')
    export_cells(root / 'exports')
    (block,) = [text for text in code_blocks('docs/your_data.md', 'bash') if 'convert_data.py' in text]
    for command in block.splitlines():
        tool, *args = shlex.split(command, comments=True)[1:]
        printed = run_tool(Path(tool).name, *args, cwd=root)
        assert '20 images, 20 objects of 3 classes' in printed
        assert 'nothing was left out or changed' in printed
    return root


def export_cells(folder: Path) -> None:
    """Twenty images with a box each, as COCO, YOLO and CSV."""
    import cv2
    import numpy as np

    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    classes = ['Platelets', 'RBC', 'WBC']
    images, annotations, rows = [], [], ['filename,class,xmin,ymin,xmax,ymax']
    for number in range(20):
        name, label = f'{number:02}.jpg', classes[number % 3]
        noise = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / 'images' / name), noise)
        images.append(dict(id=number, file_name=name, width=64, height=48))
        entry = dict(id=number, image_id=number, category_id=number % 3, bbox=[16, 12, 32, 24], iscrowd=0)
        annotations.append(entry)
        (folder / f'labels/{number:02}.txt').write_text(f'{number % 3} 0.5 0.5 0.5 0.5\n')
        rows.append(f'{name},{label},17,13,48,36')
    categories = [dict(id=number, name=name) for number, name in enumerate(classes)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'instances.json').write_text(json.dumps(content))
    (folder / 'data.yaml').write_text(f'train: images\nnames: {json.dumps(classes)}\n')
    (folder / 'boxes.csv').write_text('\n'.join(rows))


def test_the_conversions_of_the_page_agree(converted_cells):
    folders = [converted_cells / 'data' / name for name in ('cells', 'cells_yolo', 'cells_csv')]
    for number in range(20):
        texts = {(folder / f'Annotations/{number:02}.xml').read_text() for folder in folders}
        assert len(texts) == 1
        assert '<xmin>17</xmin>' in texts.pop()
    splits = [
        (folders[1] / f'ImageSets/Main/{split}.txt').read_text().split() for split in ('train', 'val', 'test')
    ]
    assert sorted(name for names in splits for name in names) == [f'{number:02}' for number in range(20)]
    # Seven, seven and six images per class: none can be divided exactly.
    assert all(abs(len(names) - share) <= 1 for names, share in zip(splits, (14, 4, 2), strict=True))


def coco_config(folder: Path) -> None:
    """Write the config of docs/your_data.md, with a smaller model of the same form, for a CPU."""
    (block,) = [text for text in code_blocks('docs/your_data.md', 'python') if "'CocoDataset'" in text]
    # In the page the folder is the project's root.
    block = block.replace('./configs', f'{ROOT}/configs').replace('rcnn_bccd.py', 'rcnn_bccd_cpu.py')
    (folder / 'my_coco_config.py').write_text(block)


@pytest.mark.slow
def test_the_coco_config_of_the_page_trains(converted_cells):
    from tests.running import run_tool

    coco_config(converted_cells)
    printed = run_tool('train.py', 'my_coco_config.py', '--dry-run', cwd=converted_cells)
    assert '3 classes, from classes=: Platelets, RBC, WBC' in printed
    assert 'COCO split train.json: 15 images (0 without objects), 15 objects' in printed
    assert 'dry run passed' in printed


def test_the_coco_config_of_the_page_refuses_what_a_voc_config_refuses(converted_cells, tmp_path):
    from tests.running import start_tool

    coco_config(tmp_path)
    shutil.copytree(converted_cells / 'data/cells_coco', tmp_path / 'data/cells_coco')
    file = tmp_path / 'data/cells_coco/annotations/train.json'
    content = json.loads(file.read_text())
    (tmp_path / 'data/cells_coco/images' / content['images'][0]['file_name']).unlink()
    missing = start_tool('train.py', 'my_coco_config.py', cwd=tmp_path)
    assert f'{content["images"][0]["file_name"]} cannot be read: No such file' in missing.stderr
    content['categories'].reverse()
    content['annotations'][0]['category_id'] = 9
    content['annotations'][1]['bbox'] = [70, 1, 9, 9]
    content['annotations'][2]['id'] = content['annotations'][3]['id']
    file.write_text(json.dumps(content))
    faults = start_tool('train.py', 'my_coco_config.py', cwd=tmp_path)
    assert missing.returncode == faults.returncode == 1
    for expected in (
        "label 0 is 'WBC' in the file, 'Platelets' in classes",
        'category_id 9 is not a category of the file',
        'box (70, 1, 79, 10) lies entirely outside the 64x48 image',
        'duplicate ids and files, which would count twice (1)',
    ):
        assert expected in faults.stderr


def test_the_fine_tuning_of_the_page_prints_what_the_page_says(converted_cells, tmp_path):
    """With random weights in the place of the demo's, and only a dry run."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    from mdvision.config.fill import fill_config
    from mdvision.work_dir.model_file import describe, write_model
    from tests.running import run_tool

    section = (ROOT / 'docs/training.md').read_text().split('## Fine-tuning with other classes')[1]
    config, command, printed = re.findall(r'```\w*\n(.*?)```', section, re.DOTALL)[:3]
    (tmp_path / 'my_cells.py').write_text(config.replace('./configs', f'{ROOT}/configs'))
    (tmp_path / 'data').symlink_to(converted_cells / 'data')
    trained = tmp_path / 'work_dirs' / 'faster_rcnn_minivoc'
    trained.mkdir(parents=True)
    cfg = Config.fromfile(ROOT / 'configs/emanet/faster_rcnn_minivoc.py')
    fill_config(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    chosen = dict(checkpoint=dict(chosen_by='voc12/mAP50'), metrics={'voc12/mAP50': 0.9331})
    write_model(trained, describe(cfg, cfg.classes, trained.name), model.state_dict(), **chosen)
    tool, *args = shlex.split(command)[1:]
    said = run_tool(Path(tool).name, *args, '--dry-run', cwd=tmp_path)
    assert printed in said, said
    assert 'dry run passed' in said


def test_the_python_of_the_readme_runs(capsys):
    snippet = next(block for block in code_blocks('README.md', 'python') if 'list_models' in block)
    exec(snippet, {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:] == ['torch.Size([1, 10])', '(256, 512, 1024, 2048) (4, 8, 16, 32)']
    assert "'lma_resnet50'" in printed[0]


def test_the_backbone_of_the_page_is_a_backbone():
    import torch

    (snippet,) = code_blocks('docs/add_a_backbone.md', 'python')
    scope = {}
    exec(snippet, scope)
    maps = scope['TinyNet']()(torch.zeros(1, 3, 64, 64))
    assert [m.shape for m in maps] == [(1, 16, 16, 16), (1, 32, 8, 8)]

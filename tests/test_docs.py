"""What the documents tell a user to do works."""

import re
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


def test_the_python_of_the_readme_runs(capsys):
    snippet = next(block for block in code_blocks('README.md', 'python') if 'import mdvision' in block)
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

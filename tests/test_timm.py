"""timm finds our models by name; timm itself is optional."""

import subprocess
import sys

import pytest

pytest.importorskip('timm')


@pytest.mark.parametrize('imports', ['import timm, mdvision.timm', 'import mdvision.timm, timm'])
def test_timm_creates_our_models_whichever_is_imported_first(imports):
    code = (
        f'{imports}; import torch\n'
        "model = timm.create_model('mdvision_mobilenet_cifar', num_classes=7, in_chans=1)\n"
        'assert model.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 7)\n'
        "assert set(timm.list_models('mdvision_*')) == {'mdvision_' + n for n in mdvision.list_models()}\n"
        "assert type(timm.create_model('resnet18')).__module__ == 'timm.models.resnet'\n"
    )
    subprocess.run([sys.executable, '-W', 'error:Overwriting', '-c', code], check=True)


def test_importing_mdvision_leaves_timm_alone():
    code = (
        'import sys, mdvision\n'
        "assert 'timm' not in sys.modules\n"
        "import timm; assert timm.list_models('mdvision*') == []\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_weights_that_are_not_distributed_are_refused():
    import timm

    import mdvision.timm  # noqa: F401
    from mdvision import UserError

    with pytest.raises(UserError, match='distributes no weights'):
        timm.create_model('mdvision_emanet50_cifar', pretrained=True)

"""Checkpoint files of the authors and of torchvision become ours, whole, or an error says why not."""

import pytest
import torch

import mdvision
from mdvision import UserError
from mdvision.checkpoints.reading import read_checkpoint
from mdvision.commands.convert_weights import convert_checkpoint
from tests import golden


class Malicious:
    def __reduce__(self):
        return exec, ('open("owned", "w").close()',)


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'new' / 'ours.pth'


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def data_parallel(state: dict) -> dict:
    return {f'module.{key}': tensor for key, tensor in state.items()}


CONTAINERS = {
    'bare': lambda state: state,
    'net': lambda state: dict(net=data_parallel(state), acc=95.6, epoch=199),
    'state_dict': lambda state: dict(
        epoch=120, arch='emanet', state_dict=data_parallel(state), best_prec1=torch.tensor(80.0), optimizer={}
    ),
    'model': lambda state: dict(model=data_parallel(state), optimizer={}, epoch=799, scaler={}),
    'lightning': lambda state: dict(state_dict=state, epoch=19, global_step=8600, loops={}),
}


@pytest.mark.parametrize('container', CONTAINERS)
def test_a_checkpoint_in_every_container_answers_as_before(container, tmp_path, target):
    data = golden.load('diff_vit_p7_d32')
    source = save(tmp_path / 'theirs.pth', CONTAINERS[container](data.state_dict))
    line = convert_checkpoint('diff_vit_nano', source, str(target))
    assert '52 of 52 tensors matched (100.0 % of the parameters)' in line
    model = mdvision.create_model('diff_vit_nano').eval()
    checkpoint = read_checkpoint(str(target))
    model.load_state_dict(checkpoint['state_dict'], strict=True)
    assert checkpoint['meta']['model'] == 'diff_vit_nano' and checkpoint['meta']['num_classes'] == 10
    with torch.no_grad():
        golden.check_close(model.double()(data.images.double()), data.tensor('logits'), 'logits')


def test_the_number_of_classes_is_that_of_the_file(tmp_path, target):
    theirs = golden.load('mobilenet_100').state_dict
    source = save(tmp_path / 'theirs.pth', theirs)
    convert_checkpoint('mobilenet_cifar', source, str(target))
    assert read_checkpoint(str(target))['meta']['num_classes'] == 100


@pytest.mark.parametrize(
    ('fixture', 'name'), [('dems_tiny_32_p2', 'dems_vit_tiny'), ('fcanet50_cifar', 'fca_resnet50_cifar')]
)
def test_tables_that_the_model_computes_are_verified_and_left_out(fixture, name, tmp_path, target):
    from mdvision.models.attention.frequency_channel import dct_filters
    from mdvision.models.layers.dems_block import sine_cosine_positions

    data = golden.load(fixture)
    state = dict(data.state_dict)
    shapes = {key: shape for key, shape, _ in data.meta['state_dict']}
    for key in data.meta['keep']:
        if 'dct_layer' in key:
            state[key] = dct_filters(shapes[key][0], shapes[key][1])
        else:
            side = round(shapes[key][1] ** 0.5)
            state[key] = sine_cosine_positions(side, side, shapes[key][2])[None]
        assert list(state[key].shape) == shapes[key]
    convert_checkpoint(name, save(tmp_path / 'theirs.pth', state), str(target))
    mdvision.create_model(name, num_classes=data.meta['num_classes']).load_state_dict(
        read_checkpoint(str(target))['state_dict'], strict=True
    )
    state[key] = state[key] * 1.01
    with pytest.raises(UserError, match=f'{key} of the checkpoint is not the table'):
        convert_checkpoint(name, save(tmp_path / 'changed.pth', state), str(target))


def test_two_names_of_one_parameter_must_agree(tmp_path, target):
    state = golden.load('dems_tiny_32_p2').state_dict
    state['norm_merge1.weight'] = state['norm_merge1.weight'] + 1
    with pytest.raises(UserError, match=r'name the same parameter, backbone\.merges\.0\.norm\.weight'):
        convert_checkpoint('dems_vit_tiny', save(tmp_path / 'theirs.pth', state), str(target))


def test_arguments_that_differ_from_the_name_are_given(tmp_path, target):
    source = save(
        tmp_path / 'theirs.pth', dict(model=data_parallel(golden.load('dems_tiny_64_p4').state_dict))
    )
    with pytest.raises(UserError, match='with --cfg-options KEY=VALUE'):
        convert_checkpoint('dems_vit_tiny', source, str(target))
    line = convert_checkpoint('dems_vit_tiny', source, str(target), image_size=64, patch_size=4)
    assert '100.0 %' in line
    assert read_checkpoint(str(target))['meta']['overrides'] == dict(image_size=64, patch_size=4)


@pytest.mark.parametrize('fixture', ['emanet50_det_stem7', 'emanet50_det_stem3'])
def test_a_detector_is_checked_too(fixture, tmp_path, target):
    state = golden.load(fixture).state_dict
    line = convert_checkpoint('emanet50_c4_detector', save(tmp_path / 'a.pth', state), str(target))
    assert f'{len(state)} of {len(state)} tensors matched' in line
    key = next(iter(state))
    del state[key]
    state['extractor.4.banana'] = torch.zeros(1)
    with pytest.raises(
        UserError, match=r'1 missing in the file: .*\n.*1 not in the model: backbone.layer1.banana'
    ):
        convert_checkpoint('emanet50_c4_detector', save(tmp_path / 'b.pth', state), str(target))


def test_every_key_of_both_sides_is_listed_when_they_do_not_fit(tmp_path, target):
    state = golden.load('diff_vit_p7_d32').state_dict
    missing = {key: value for key, value in state.items() if key != 'cls_token'}
    with pytest.raises(UserError, match=r'1 missing in the file: backbone\.cls_token'):
        convert_checkpoint('diff_vit_nano', save(tmp_path / 'a.pth', missing), str(target))
    more = dict(state, extra=torch.zeros(1))
    with pytest.raises(UserError, match=r'1 of 53 keys .* namely extra'):
        convert_checkpoint('diff_vit_nano', save(tmp_path / 'b.pth', more), str(target))
    assert not target.exists()


def test_a_checkpoint_of_another_model_is_named(tmp_path, target):
    state = golden.load('diff_vit_p4_d64').state_dict
    with pytest.raises(
        UserError, match=r'of another shape(.|\n)*Its keys and shapes are those of diff_vit_nano_p4\.'
    ):
        convert_checkpoint('diff_vit_nano', save(tmp_path / 'a.pth', state), str(target))


def test_code_in_a_file_is_not_run_and_nan_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = golden.load('diff_vit_p7_d32').state_dict
    with pytest.raises(UserError, match='holds more than tensors'):
        convert_checkpoint('diff_vit_nano', save('a.pth', dict(net=state, extra=Malicious())), str(target))
    assert not (tmp_path / 'owned').exists()
    state['cls_token'] = state['cls_token'] * float('nan')
    with pytest.raises(UserError, match='NaN or infinity, for example cls_token'):
        convert_checkpoint('diff_vit_nano', save('b.pth', state), str(target))
    with pytest.raises(UserError, match=r'holds no state dict: .* it holds epoch'):
        convert_checkpoint('diff_vit_nano', save('c.pth', dict(epoch=3)), str(target))


@pytest.mark.parametrize(
    ('name', 'theirs', 'matched'),
    [
        ('resnet18', 'resnet18', '100.0 %'),
        ('lma_resnet18', 'resnet18', '100.0 %'),
        ('se_resnet50', 'resnet50', '91.0 %'),
        ('mobilenet_v2', 'mobilenet_v2', '100.0 %'),
        ('lma_mobilenet_v2', 'mobilenet_v2', '100.0 %'),
    ],
)
def test_torchvisions_weights_load_and_the_share_is_printed(name, theirs, matched, tmp_path, target):
    from torchvision import models

    reference = getattr(models, theirs)(weights=None).eval()
    source = save(tmp_path / 'theirs.pth', reference.state_dict())
    line = convert_checkpoint(name, source, str(target), source='torchvision')
    assert f'({matched} of the parameters)' in line
    model = mdvision.create_model(name).eval()
    state = read_checkpoint(str(target))['state_dict']
    unmatched = model.load_state_dict(state, strict=False)
    assert unmatched.unexpected_keys == []
    assert all('.attention.' in key for key in unmatched.missing_keys)
    if name == theirs:
        images = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(model(images), reference(images))


def test_less_than_nine_tenths_of_torchvisions_weights_is_an_error_unless_allowed(tmp_path, target):
    from torchvision import models

    source = save(tmp_path / 'theirs.pth', models.resnet50(weights=None).state_dict())
    with pytest.raises(UserError, match=r'belongs to another model: .* \(63\.1 % of the parameters\)'):
        convert_checkpoint('epsanet50', source, str(target), source='torchvision')
    line = convert_checkpoint('epsanet50', source, str(target), source='torchvision', allow_partial=True)
    assert 'these keep their initial values' in line
    with pytest.raises(UserError, match='torchvision has no weights for mdnet'):
        convert_checkpoint('mdnet', source, str(target), source='torchvision')


def test_the_tool_converts_and_complains_without_a_traceback(tmp_path, target):
    from tests.running import run_tool, start_tool

    source = save(tmp_path / 'theirs.pth', golden.load('diff_vit_p7_d32').state_dict)
    printed = run_tool('convert_weights.py', 'diff_vit_nano', source, str(target), cwd=tmp_path)
    assert '52 of 52 tensors matched' in printed and target.is_file()
    refused = start_tool('convert_weights.py', 'vit_nano', source, str(target), cwd=tmp_path)
    assert refused.returncode == 1
    assert 'Its keys and shapes are those of diff_vit_nano.' in refused.stderr
    assert 'Traceback' not in refused.stderr

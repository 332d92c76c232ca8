"""What mdvision patches in upstream libraries, and which of their private names it uses.

python -m tests.upstream      # writes the tables of docs/upstream.md

A private name, or the method that a patch replaces, may disappear with the next release of a library.
``test_upstream.py`` checks the source of the package against the two lists below, and the lists against
the installed libraries.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mdvision  # noqa: F401  first: mmdet.models needs its operators

HERE = Path(__file__).parent
PACKAGE = HERE.parent / 'mdvision'
PAGE = HERE.parent / 'docs' / 'upstream.md'

ON_IMPORT = 'from `import mdvision` on'


@dataclass(frozen=True)
class Patch:
    """Something in an upstream library, or in the process, that mdvision replaces.

    Attributes:
        target: its full name.
        written: how the code refers to it, as returned by :func:`patches`.
        takes: the parameters of a method; None for anything else.
        why: its purpose.
        until: when it is in place.
        test: a test that fails without it: ``file::test``, or the file.
    """

    target: str
    written: str
    takes: tuple[str, ...] | None
    why: str
    until: str
    test: str


@dataclass(frozen=True)
class Private:
    """Private names of one upstream class or module, and why they are used."""

    of: str
    names: tuple[str, ...]
    why: str


PATCHES = (
    Patch(
        'mmengine.config.Config.fromstring', 'Config.fromstring', ('cfg_str', 'file_format'),
        'a config in a checkpoint is a program and is rejected; MMDetection and MMPretrain call this',
        ON_IMPORT, 'checkpoints/test_safe_loading.py::test_the_config_in_a_checkpoint_is_not_executed',
    ),
    Patch(
        'mmengine.runner.checkpoint.load_state_dict', 'host.load_state_dict',
        ('module', 'state_dict', 'strict', 'logger'),
        'weights of another model are an error, where MMEngine continues with random ones',
        ON_IMPORT, 'checkpoints/test_pretrained.py::test_the_file_of_another_model',
    ),
    Patch(
        'mmcv._ext', 'mmcv._ext', None,
        "torchvision's operators if the compiled extension is missing: `mmcv.ops` uses no other module",
        ON_IMPORT, 'ops/test_nms.py',
    ),
    Patch(
        'sys.modules', 'sys.modules[_EXTENSION]', None,
        'the same, for `importlib`',
        ON_IMPORT, 'ops/test_nms.py',
    ),
    Patch(
        'mmengine.device.utils.DEVICE', 'device_utils.DEVICE', None,
        '`--device cpu` on a machine with another device: MMEngine chooses the device when it is imported',
        'from `--device cpu` on',
        'processes/test_devices_and_locales.py::test_the_cpu_is_kept_to_where_the_hosts_see_another_device',
    ),
    Patch(
        'mmengine.optim.OptimWrapper.update_params', 'wrapper.update_params',
        ('self', 'loss', 'step_kwargs', 'zero_kwargs'),
        'a NaN or infinite loss never reaches the weights, whatever the class of the wrapper',
        'in a run',
        'engine/test_divergence.py::test_the_message_names_the_terms_the_iteration_and_the_images',
    ),
    Patch(
        'mmengine.optim.OptimWrapper.step', 'wrapper.step', ('self', 'kwargs'),
        'the same for gradients, after the last of the accumulated iterations',
        'in a run', 'engine/test_divergence.py::test_summed_gradients_are_looked_at_before_the_update',
    ),
    Patch(
        'mmengine.model.BaseModel.parse_losses', 'model.parse_losses', ('self', 'losses'),
        'the message about such a loss names its terms',
        'during training',
        'engine/test_divergence.py::test_the_message_names_the_terms_the_iteration_and_the_images',
    ),
    Patch(
        'mmengine.visualization.Visualizer.add_config', 'built.add_config', ('self', 'config', 'kwargs'),
        'a failed start writes nothing into the folder of an earlier run; MMEngine writes when it is built',
        'until the first iteration',
        'work_dir/test_first_writing.py::test_a_start_that_fails_leaves_a_finished_run_as_it_was',
    ),
    Patch(
        'mmdet.models.BaseDetector.extract_feat', 'model.extract_feat', ('self', 'batch_inputs'),
        'prediction and loss of a validation batch share the features',
        'during a validation batch',
        'integration/test_validation_loss.py::'
        'test_it_is_logged_beside_the_metrics_and_features_are_computed_once',
    ),
    Patch(
        'mmdet.models.roi_heads.roi_extractors.BaseRoIExtractor.forward', 'module.forward',
        ('self', 'feats', 'rois', 'roi_scale_factor'),
        'regions keep exact corners under mixed precision in stock configs too',
        "in a model built by mdvision's runner",
        'test_fitted_detectors.py::test_the_extractors_of_mmdet_keep_the_corners_in_our_runner',
    ),
    Patch(
        'mmdet.models.roi_heads.roi_extractors.SingleRoIExtractor.forward', 'extractor.forward',
        ('self', 'feats', 'rois', 'roi_scale_factor'),
        'counting uses only the shapes of regions',
        'in a temporary model', 'tools/test_complexity_tool.py::test_a_two_stage_detector',
    ),
    Patch(
        'logging.FileHandler.handleError', 'handler.handleError', ('self', 'record'),
        'a log file on a full disk ends the run with a checkpoint',
        'in a run', 'work_dir/test_full_disk.py::test_a_full_disk_at_some_writes_of_a_run',
    ),
    Patch(
        'threading.excepthook', 'threading.excepthook', None,
        "the same error in TensorBoard's thread is not printed twice",
        'in a command', 'work_dir/test_full_disk.py::test_what_a_thread_of_tensorboard_raises_is_said_once',
    ),
    Patch(
        'PIL.Image.MAX_IMAGE_PIXELS', 'Image.MAX_IMAGE_PIXELS', None,
        'large images are data, not attacks', 'while an image is checked',
        'datasets/test_voc_annotation.py::test_images_above_179_megapixels_are_images',
    ),
    Patch(
        'sys.stdout', 'setattr(sys, name)', None,
        'a run continues when nobody reads its output', 'in a command',
        'processes/test_stopping.py::test_ctrl_c_where_the_program_behind_the_pipe_is_gone_first',
    ),
)  # fmt: skip

PRIVATE = (
    Private(
        'mmengine.runner.Runner', ('_work_dir', '_log_dir'), 'the log begins in a temporary folder; no setter'
    ),
    Private(
        'mmengine.runner.Runner', ('_resume', '_has_loaded'),
        "`load_checkpoint` and `resume` set what MMEngine's set; its EMAHook reads the first",
    ),
    Private(
        'mmengine.runner.EpochBasedTrainLoop',
        ('_epoch', '_iter', '_max_iters', '_decide_current_val_interval'),
        'a custom loop keeps its own count; the public names are read-only',
    ),
    Private(
        'mmengine.hooks.CheckpointHook',
        ('_save_checkpoint_with_step', '_save_best_checkpoint', '_init_rule'),
        'an outdated checkpoint is deleted after its successor is written; MMEngine does both in these',
    ),
    Private('mmengine.optim.OptimWrapper', ('_accumulative_counts',), 'no public name for this argument'),
    Private('mmengine.optim', ('_ParamScheduler',), 'exported under this name'),
    Private('mmengine.optim._ParamScheduler', ('_get_value',), 'the method that a scheduler implements'),
    Private(
        'mmengine.optim._ParamScheduler', ('_global_step',),
        'a resumed schedule is replayed; without it, MMEngine warns at each resumption',
    ),
    Private('mmengine.visualization.BaseVisBackend', ('_init_env',), 'the method that a backend implements'),
    Private('mmengine.config.Config', ('_get_cfg_path',), 'finds the file of a base in another package'),
    Private('mmengine.logging.MMLogger', ('_instance_dict',), 'asking for the logger would create one'),
    Private(
        'mmengine.runner.CheckpointLoader', ('_schemes',),
        "every address prefix must lead to one of mdvision's loaders, including prefixes of later versions",
    ),
    Private(
        'mmengine.runner.checkpoint', ('_get_mmengine_home', '_process_mmcls_checkpoint'),
        "mdvision's loaders return what MMEngine's return",
    ),
    Private(
        'mmengine.dataset.BaseDataset', ('_fully_initialized', '_indices', '_metainfo'),
        'overriding `full_init`, and classes derived from the folders',
    ),
    Private(
        'mmengine.model.ImgDataPreprocessor', ('_channel_conversion',),
        'preprocessing recorded in checkpoints; no public name for this argument',
    ),
    Private('torch.distributed.distributed_c10d', ('_get_default_store',), 'to agree on where to stop'),
    Private('torch.utils', ('_python_dispatch', '_pytree'), 'counting operators: there is no other way'),
    Private('torch.UntypedStorage', ('_cdata',), 'which tensors share memory, on the meta device too'),
    Private('torch._ops.OpOverload', ('_overloadpacket',), 'one formula for all overloads of an operator'),
    Private('torch.ops.aten', ('_fft_c2c', '_fft_c2r', '_fft_r2c'), 'the operators behind `torch.fft`'),
    Private('torch.nn.modules.batchnorm', ('_BatchNorm',), 'every kind of batch norm'),
    Private('torch.cpu', ('_is_avx512_bf16_supported',), 'only reported by the doctor, if it exists'),
    Private('numpy', ('_core',), "CIFAR's pickles, read without executing anything"),
    Private('numpy._core.multiarray', ('_reconstruct',), 'the same'),
    Private('atexit', ('_run_exitfuncs',), 'one of several processes ends without interpreter shutdown'),
)  # fmt: skip

# Documented despite their underscore; and settings that are changed by assignment.
_DOCUMENTED = {'os._exit'}
_OWN = ('self', 'cls', 'cfg')
_SETTINGS = {'handler.mode', 'os.environ', 'torch.backends.cudnn.benchmark'}


def source() -> Iterator[tuple[str, ast.Module]]:
    """Yield every file of the package with its relative path."""
    for path in sorted(PACKAGE.rglob('*.py')):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding='utf-8'))


# ------------------------------------------------------------------------------------------------- patches


def patches() -> dict[str, set[str]]:
    """Return what mdvision sets in modules, classes and objects of other packages, each with the files.

    These are: what :func:`~mdvision.upstream.replace_method` replaces; names in an imported module or class;
    in objects, methods of the classes that a file imports or reaches through imported modules; and anything
    that bypasses assignment: ``vars(x)[...]``, ``x.__class__``, ``sys.meta_path``.
    """
    found = defaultdict(set)
    for file, tree in source():
        imported = _imported_objects(tree)
        for written in _replaced(tree, imported) if file != 'upstream.py' else ():
            found[written].add(file)
    return dict(found)


def _replaced(tree: ast.Module, imported: dict[str, object]) -> Iterator[str]:
    methods = _methods(imported.values()) - set(_set_in_itself(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _replaced_by_call(node, imported)
        for target in _targets(node):
            text, root = ast.unparse(target), _root(target)
            past_assignment = text.startswith('vars(') or '.__class__' in text or '.__dict__' in text
            of_others = isinstance(target, ast.Attribute | ast.Subscript) and root not in _OWN
            known = root in imported or getattr(target, 'attr', None) in methods
            if past_assignment or (of_others and known and text.partition('[')[0] not in _SETTINGS):
                yield text


def _replaced_by_call(node: ast.Call, imported: dict[str, object]) -> Iterator[str]:
    called, first = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ''
    if called == 'replace_method':
        yield f'{first}.{ast.literal_eval(node.args[1])}'
    elif called in ('setattr', 'delattr') and first in imported:
        yield f'{called}({first}, {ast.unparse(node.args[1])})'
    elif called.startswith(('sys.meta_path.', 'sys.path_hooks.')) or (
        called.startswith('vars(') and called.endswith(('.pop', '.update', '.setdefault'))
    ):
        yield called


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement assigns to or deletes."""
    if isinstance(node, ast.Assign | ast.Delete):
        for target in node.targets:
            yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        yield node.target


def _root(target: ast.expr) -> str:
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return ast.unparse(target)


# Packages that are used if they are installed, and not patched.
_EXTRAS = {'supervision'}


def _imported_objects(tree: ast.Module) -> dict[str, object]:
    """Return what a file imports from other packages, by its name in the file."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition('.')[0]
                if name not in _EXTRAS:
                    found[alias.asname or name] = importlib.import_module(name)
        elif isinstance(node, ast.ImportFrom) and not node.level and not node.module.startswith('mdvision'):
            for alias in node.names:
                found[alias.asname or alias.name] = resolve(f'{node.module}.{alias.name}')
    return found


@cache
def _methods_of(cls: type) -> frozenset[str]:
    own = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return frozenset(name for name, value in own.items() if inspect.isroutine(value))


def _methods(objects) -> set[str]:
    classes = [one for one in objects if inspect.isclass(one)]
    for module in filter(inspect.ismodule, objects):
        classes += [one for one in list(vars(module).values()) if inspect.isclass(one)]
    return {name for cls in classes for name in _methods_of(cls)}


def resolve(name: str) -> object:
    """Return an object by its full name."""
    parts = name.split('.')
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


# ------------------------------------------------------------------------------------------- private names


def private_uses() -> dict[str, set[str]]:
    """Return private names of upstream libraries that mdvision reads, sets or overrides, with the files."""
    trees = dict(source())
    own = {name for tree in trees.values() for name in _defined(tree)}
    inherited = {
        file: [(node, _of_bases(cls)) for node, cls in _classes(file, tree)] for file, tree in trees.items()
    }
    upstream = {name for found in inherited.values() for _, names in found for name in names}
    uses = defaultdict(set)
    for file, tree in trees.items():
        for name in _imported(tree):
            uses[name].add(file)
        for node, names in inherited[file]:
            for name in names & _named_in_class(node):
                uses[name].add(file)
        for name, whole in _asked_of_others(tree):
            if (name not in own or name in upstream) and whole not in _DOCUMENTED:
                uses[name].add(file)
    return dict(uses)


def _is_private(name: str) -> bool:
    return name.startswith('_') and not name.endswith('__') and name != '_'


def _imported(tree: ast.Module) -> Iterator[str]:
    """Private parts of modules that are imported from other packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split('.')]
        elif isinstance(node, ast.ImportFrom) and not node.level and not node.module.startswith('mdvision'):
            names = [*node.module.split('.'), *(alias.name for alias in node.names)]
        else:
            continue
        yield from filter(_is_private, names)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines or sets anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _classes(file: str, tree: ast.Module) -> Iterator[tuple[ast.ClassDef, type]]:
    module = '.'.join(('mdvision', *Path(file).with_suffix('').parts))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node, getattr(importlib.import_module(module.removesuffix('.__init__')), node.name)


def _of_bases(cls: type) -> set[str]:
    """Private names of the classes of other packages that a class derives from."""
    names = set()
    for base in cls.__mro__:
        package = base.__module__.partition('.')[0]
        if package != 'mdvision' and package not in sys.stdlib_module_names:
            names |= {*vars(base), *attributes_set(base)}
    return set(filter(_is_private, names)) - {'_abc_impl'}


def attributes_set(cls: type) -> Iterator[str]:
    """Yield the attributes that the methods of a class set in its objects, and in others."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # compiled
        return
    yield from _set_in_itself(tree)


def _set_in_itself(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and ast.unparse(node.value).startswith('self'):
            yield node.attr


def _named_in_class(node: ast.ClassDef) -> set[str]:
    """Return the names that a class uses of ``self``, ``cls`` and ``super()``, and those it defines."""
    names = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) in ('self', 'cls', 'super()'):
            names.add(inner.attr)
    return names


def _asked_of_others(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Private attributes of anything but the object itself, and the whole expression."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if ast.unparse(node.value) not in ('self', 'cls', 'super()'):
                yield node.attr, ast.unparse(node)
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('getattr', 'hasattr', 'setattr'):
            name = getattr(node.args[1], 'value', None)
            if isinstance(name, str) and _is_private(name):
                yield name, ast.unparse(node)


# ---------------------------------------------------------------------------------------------------- page


def render() -> dict[str, str]:
    """Return the tables of the page, by the names of their markers."""
    replaced, private = patches(), private_uses()
    lines = ['| replaced | in | why | in place | test |', '|---|---|---|---|---|']
    for one in PATCHES:
        test = one.test.replace('::', ' `') + ('`' if '::' in one.test else '')
        lines.append(
            f'| `{one.target}` | {_files(replaced[one.written])} | {one.why} | {one.until} | {test} |'
        )
    names = ['| of | names | in | why |', '|---|---|---|---|']
    for one in PRIVATE:
        files = set().union(*(private[name] for name in one.names))
        shown = ', '.join(f'`{name}`' for name in one.names)
        names.append(f'| `{one.of}` | {shown} | {_files(files)} | {one.why} |')
    return dict(patches='\n'.join(lines), private='\n'.join(names))


def _files(files: set[str]) -> str:
    return ', '.join(f'`{file}`' for file in sorted(files))


def with_tables(page: str) -> str:
    """Return the page with the current tables."""
    for name, table in render().items():
        begin, end = f'<!-- {name}: begin -->\n', f'\n<!-- {name}: end -->'
        before, _, rest = page.partition(begin)
        page = before + begin + table + end + rest.partition(end)[2]
    return page


if __name__ == '__main__':
    PAGE.write_text(with_tables(PAGE.read_text(encoding='utf-8')), encoding='utf-8')

"""Packaging of mdvision."""

from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (here / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


version: dict[str, str] = {}
exec((here / 'mdvision' / 'version.py').read_text(encoding='utf-8'), version)

setup(
    name='mdvision',
    version=version['__version__'],
    description='Attention backbones for MMPretrain and MMDetection, without a compiler',
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mdvision', 'mdvision.*']),
    package_data={'mdvision': ['zoo/*']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('tests', 'optional', 'supervision')},
)

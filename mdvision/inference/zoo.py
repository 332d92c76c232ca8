"""The trained models that come with mdvision, by name. Their files are in ``mdvision/zoo``."""

from pathlib import Path

from mdvision.errors import UserError, did_you_mean

__all__ = ['FOLDER', 'find_trained', 'trained_models']

FOLDER = Path(__file__).resolve().parents[1] / 'zoo'


def trained_models() -> dict[str, Path]:
    """Return {name: its model.json}."""
    return {path.stem: path for path in sorted(FOLDER.glob('*.json'))}


def find_trained(name: str) -> Path:
    """Return the model file of a name.

    Raises:
        UserError: no trained model is called that; the message names all.
    """
    known = trained_models()
    if name not in known:
        raise UserError(
            f'no trained model is called {name!r}.{did_you_mean(name, known)} There are: {", ".join(known)}.'
        )
    return known[name]

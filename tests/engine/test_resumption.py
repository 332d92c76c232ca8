"""A run that was stopped or killed and resumed is, to the last bit, the run that was not."""

import pytest

from tests.engine.resumed import assert_same, settings_of, state, train

ENDS = {
    'in epoch 1': [dict(iteration=2)],
    'in mid-epoch': [dict(iteration=7)],
    'first of an epoch': [dict(iteration=10)],
    'last of the run': [dict(iteration=14)],
    'four times': [dict(iteration=i) for i in (3, 4, 5, 13)],
    'in a validation': [dict(validation=2)],
    'twice in the last validation': [dict(validation=3), dict(validation=1), dict(validation=1, batch=2)],
    'between a validation and its best': [dict(validation=2, batch=None)],
}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The run without an end before its end, by the number of workers."""
    done = {}

    def get(**settings):
        key = str(settings)
        if key not in done:
            done[key] = tmp_path_factory.mktemp('whole') / 'run'
            train(done[key], **settings_of(**settings))
        return done[key]

    return get


@pytest.mark.fault('4.3', '4.18', 'D6', 'a', 'a2', 'b', '4.13', '4.14')
@pytest.mark.parametrize(
    ('workers', 'where', 'signal'),
    [(0, where, signal) for where in ENDS for signal in (None, 15, 2)]
    # Workers make a difference to where a run goes on, not to what it hears or how often.
    + [(2, where, signal) for where in ENDS for signal in (None, 15) if len(ENDS[where]) == 1],
)
def test_resumed_equals_uninterrupted(tmp_path, whole, workers, where, signal):
    train(tmp_path / 'run', [dict(end, signal=signal) for end in ENDS[where]], **settings_of(workers))
    assert_same(state(tmp_path / 'run'), state(whole(workers=workers)))


@pytest.mark.fault('4.17')
@pytest.mark.parametrize('workers', [0, 2])
def test_the_same_seed_twice(tmp_path, whole, workers):
    """Equal to the last bit, with dropout and noise on the data; with another seed not."""
    settings = settings_of(workers)
    train(tmp_path / 'again', **settings)
    assert_same(state(tmp_path / 'again'), state(whole(workers=workers)))
    train(tmp_path / 'other', **settings, randomness=dict(seed=1))
    with pytest.raises(AssertionError):
        assert_same(state(tmp_path / 'other'), state(tmp_path / 'again'))

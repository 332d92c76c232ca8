"""What can be predicted on, and what is said of what cannot."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import mdvision
from mdvision.errors import UserError
from mdvision.inference.predictions import Unreadable
from mdvision.inference.sources import Source, open_source, pixels_of


@pytest.fixture(scope='module')
def classifier(shared_classifier):
    return mdvision.load(shared_classifier, device='cpu')


def scores(found: list) -> np.ndarray:
    return np.stack([one.scores for one in found])


def test_a_file_an_array_and_an_image_are_the_same_picture(classifier, pictures):
    file = pictures / '0.png'
    bgr = cv2.imread(str(file))
    wanted = scores(classifier.predict(file))
    for source in (str(file), bgr[..., ::-1], Image.open(file), [file], [bgr[..., ::-1]]):
        np.testing.assert_array_equal(scores(classifier.predict(source)), wanted)
    np.testing.assert_array_equal(scores(classifier.predict(bgr, color='bgr')), wanted)
    assert not np.array_equal(scores(classifier.predict(bgr)), wanted)


def test_a_folder_a_pattern_and_a_list_are_in_order(classifier, pictures, tmp_path):
    files = sorted(pictures.glob('*.png'))
    nested = tmp_path / 'nested'
    shutil.copytree(pictures, nested / 'inner')
    (nested / 'notes.txt').write_text('no picture')
    for source in (pictures, str(pictures / '*.png'), files):
        assert [one.source for one in classifier.predict(source)] == list(map(str, files))
    assert [Path(one.source).name for one in classifier.predict(nested)] == [one.name for one in files]


def test_gray_alpha_and_sixteen_bit_files_are_read_as_in_training(classifier, pictures, tmp_path):
    picture = cv2.imread(str(pictures / '0.png'))
    gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([picture, np.full(picture.shape[:2], 128, np.uint8)])
    files = {}
    for name, pixels in dict(gray=gray, alpha=alpha, deep=picture.astype(np.uint16) * 257).items():
        files[name] = tmp_path / f'{name}.png'
        cv2.imwrite(str(files[name]), pixels)
    wanted = scores(classifier.predict([pictures / '0.png']))
    np.testing.assert_array_equal(scores(classifier.predict(files['alpha'])), wanted)
    np.testing.assert_array_equal(scores(classifier.predict(files['deep'])), wanted)
    np.testing.assert_array_equal(scores(classifier.predict(alpha, color='bgr')), wanted)
    np.testing.assert_array_equal(scores(classifier.predict(files['gray'])), scores(classifier.predict(gray)))


def test_an_image_is_rotated_as_its_exif_tag_says(classifier, pictures, tmp_path):
    upright = Image.open(pictures / '0.png').convert('RGB')
    file = tmp_path / 'rotated.png'
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(file, exif=exif)
    assert Image.open(file).size == (72, 96)
    for source in (file, Image.open(file)):
        (found,) = classifier.predict(source)
        assert found.size == (72, 96)
        np.testing.assert_array_equal(found.scores, classifier.predict(upright)[0].scores)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4, 3)), r'expected pixels of uint8, from 0 to 255, got float64 \(from 0.0 to 0.0\)'),
        (np.zeros((4, 4, 3), np.uint16), 'expected pixels of uint8.*got uint16'),
        (np.zeros((4, 4, 2), np.uint8), r'expected an image \(H, W\).*got \(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'got \(0, 4, 3\)'),
        (np.zeros((2, 4, 4, 3), np.uint8), r'got \(2, 4, 4, 3\)'),
        ('text', 'expected an array.*or a PIL image, got str'),
        (Image.new('RGB', (0, 5)), 'the image has no pixels: 0 x 5'),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(UserError, match=message):
        pixels_of(image)


def test_a_bad_array_among_good_ones_is_left_out(classifier, pictures, monkeypatch):
    said = []
    monkeypatch.setattr('mdvision.inference.trained.say', said.append)
    good = np.asarray(Image.open(pictures / '0.png').convert('RGB'))
    found = classifier.predict([good, good.astype(float), good])
    assert [one.source for one in found] == ['array 0', 'array 2']
    assert [line.partition(', from')[0] for line in said] == ['warning: array 1: expected pixels of uint8']
    with pytest.raises(UserError, match='Nothing to predict on: array 0: expected pixels of uint8'):
        classifier.predict(good.astype(float))


def test_unreadable_files_among_good_ones(classifier, pictures, tmp_path):
    shutil.copy(pictures / '0.png', tmp_path / 'a.png')
    (tmp_path / 'b.jpg').write_text('this is no picture')
    jpeg = cv2.imencode('.jpg', cv2.imread(str(pictures / '1.png')))[1].tobytes()
    (tmp_path / 'c.jpg').write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / 'd.png').write_bytes(b'')
    shutil.copy(pictures / '1.png', tmp_path / 'e.png')
    found = list(classifier.stream([*sorted(tmp_path.iterdir()), tmp_path / 'f.png']))
    kinds = {Path(one.source).name: one for one in found}
    assert [name for name, one in kinds.items() if isinstance(one, Unreadable)] == [
        'b.jpg',
        'c.jpg',
        'd.png',
        'f.png',
    ]
    assert 'truncated' in kinds['c.jpg'].reason or 'ends' in kinds['c.jpg'].reason
    assert kinds['f.png'].reason == 'there is no such file'


def test_nothing_to_predict_on(tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'texts').mkdir()
    (tmp_path / 'texts' / 'a.txt').write_text('')
    for source, message in [
        (tmp_path / 'empty', r'empty has no image files \(\.jpg.*; it is empty'),
        (tmp_path / 'texts', 'it has a.txt'),
        (tmp_path / 'nothing.jpg', 'There is no file or folder .*nothing.jpg'),
        (str(tmp_path / '*.jpg'), r'No file matches .*\*\.jpg'),
        ([], 'got an empty list'),
        (True, 'got a bool'),
        (77, 'Camera 77 cannot be opened'),
        ('77', 'Camera 77 cannot be opened'),
    ]:
        with pytest.raises(UserError, match=message):
            open_source(source)
    with pytest.raises(UserError, match="expected 'rgb' or 'bgr'"):
        open_source(np.zeros((4, 4, 3), np.uint8), color='RGB')


def write_video(path: Path, frames: int, size: tuple[int, int] = (96, 72)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, size)
    for number in range(frames):
        frame = np.full((size[1], size[0], 3), number % 256, np.uint8)
        cv2.circle(frame, (number % size[0], 36), 10, (0, 0, 255), -1)
        writer.write(frame)
    writer.release()
    return path


def test_the_frames_of_a_video(classifier, tmp_path):
    source = open_source(write_video(tmp_path / 'clip.avi', 12))
    assert (source.total, source.video) == (12, (10.0, 96, 72))
    found = list(classifier.stream(source, batch_size=5))
    assert [one.source for one in found] == [f'clip.avi frame {number}' for number in range(12)]


def test_a_video_that_is_cut_short_is_named(classifier, tmp_path):
    path = write_video(tmp_path / 'clip.avi', 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    *found, last = classifier.stream(path)
    assert 10 < len(found) < 45
    assert isinstance(last, Unreadable)
    assert 'it was cut short or is damaged' in last.reason


def test_a_file_that_is_no_video(tmp_path):
    (tmp_path / 'clip.mp4').write_text('this is no video')
    with pytest.raises(UserError, match=r'clip\.mp4 cannot be read as a video \(16 bytes\)'):
        open_source(tmp_path / 'clip.mp4')


def test_no_more_images_are_read_than_are_needed(classifier):
    taken = []

    def frames():
        for number in range(500):
            taken.append(number)
            yield from open_source(np.full((72, 96, 3), number % 256, np.uint8))

    stream = classifier.stream(Source(frames(), None), batch_size=4)
    for _ in range(4):
        next(stream)
    assert len(taken) <= 3 * 4 + 1

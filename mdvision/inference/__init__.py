"""Using a trained model: loading it, predicting on images and videos, saving and drawing what it found."""

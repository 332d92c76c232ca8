"""Which files count as images, by their extension (lower case)."""

__all__ = ['FOLDER_EXTENSIONS', 'VOC_EXTENSIONS']

# In VOC folders, in the order in which a file is looked for when an annotation names none. No annotation tool
# writes PPM or PGM.
VOC_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# In folders of images, one per class, and for prediction.
FOLDER_EXTENSIONS = (*VOC_EXTENSIONS, '.ppm', '.pgm')
